//! The configuration's way to the Lambda: one SSM parameter, replaced as a whole, and where it is too small, others that it names.

use curfew_aws::configuration_document::{DamagedDocument, ParameterContents, StoredDocument};
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::parameter::ParameterEditor;
use curfew_core::stack_name::StackName;

use super::data_change::DataChange;

const DESCRIPTION: &str = "Curfew's schedules, as its Lambda reads them; written by curfew";

/// A stack's parameters.
pub(super) struct ConfigurationParameter {
    editor: ParameterEditor,
    pub(super) name: String,
}

impl ConfigurationParameter {
    pub(super) fn new(conn: &Connection, stack: &StackName) -> Self {
        Self {
            editor: ParameterEditor::new(conn),
            name: format!("/curfew/{stack}/configuration"),
        }
    }

    /// Whether the Lambda reads just `document`, so that nothing needs writing. Compared unpacked: what compresses may be another
    /// release.
    pub(super) async fn holds(&self, document: &str) -> Result<bool, CloudError> {
        Ok(self.compare(document).await? == DataChange::Keep)
    }

    /// The same, and otherwise whether it reads anything.
    pub(super) async fn compare(&self, document: &str) -> Result<DataChange, CloudError> {
        Ok(match self.read().await? {
            None => DataChange::Create,
            // What is damaged, by an interrupted removal or by hand, is written anew.
            Some(Ok(found)) if found == document => DataChange::Keep,
            Some(_) => DataChange::Change,
        })
    }

    /// What the Lambda reads; none if there is no parameter.
    pub(super) async fn read(&self) -> Result<Option<Result<String, DamagedDocument>>, CloudError> {
        let Some(value) = self.editor.value(&self.name).await? else {
            return Ok(None);
        };
        Ok(Some(match ParameterContents::of(&value) {
            Ok(ParameterContents::Document(found)) => Ok(found),
            Ok(ParameterContents::InParts(parts)) => {
                let mut values = Vec::new();
                for name in parts.names(&self.name) {
                    values.extend(self.editor.value(&name).await?);
                }
                parts.join(&values)
            }
            Err(damaged) => Err(damaged),
        }))
    }

    /// Writes what the Lambda shall read. Until the last call it reads what it read before.
    pub(super) async fn put(&self, stored: &StoredDocument) -> Result<(), CloudError> {
        for (suffix, value) in &stored.parts {
            let name = format!("{}/{suffix}", self.name);
            self.editor.put(&name, DESCRIPTION, value).await?;
        }
        self.editor
            .put(&self.name, DESCRIPTION, &stored.value)
            .await
    }

    /// Removes the parts of documents that are no longer read. Makes no writing call where there are none.
    pub(super) async fn prune(&self) -> Result<(), CloudError> {
        let value = self.editor.value(&self.name).await?.unwrap_or_default();
        let current: Vec<_> = match ParameterContents::of(&value) {
            Ok(ParameterContents::InParts(parts)) => parts.names(&self.name).collect(),
            _ => Vec::new(),
        };
        let mut stale = self.parts().await?;
        stale.retain(|name| !current.contains(name));
        for name in &stale {
            self.editor.delete(name).await?;
        }
        Ok(())
    }

    /// All that there is: the parameter that leads to the parts, and those.
    pub(super) async fn names(&self) -> Result<Vec<String>, CloudError> {
        let mut names = Vec::new();
        if self.editor.value(&self.name).await?.is_some() {
            names.push(self.name.clone());
        }
        names.extend(self.parts().await?);
        Ok(names)
    }

    /// Removes all of it; answers with the names of what there was. The parts go last: none is missing while something leads to it.
    pub(super) async fn remove(&self) -> Result<Vec<String>, CloudError> {
        let names = self.names().await?;
        for name in &names {
            self.editor.delete(name).await?;
        }
        Ok(names)
    }

    async fn parts(&self) -> Result<Vec<String>, CloudError> {
        self.editor.names_below(&self.name).await
    }
}
