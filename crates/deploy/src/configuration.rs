//! The Lambda's configuration: one SSM parameter, which names further ones if the document does not fit.

use curfew_aws::configuration_document::{DamagedDocument, ParameterContents, StoredDocument};
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::parameter::ParameterEditor;
use curfew_core::stack_name::StackName;

use super::data_change::DataChange;

const DESCRIPTION: &str = "Curfew's schedules, as its Lambda reads them; written by curfew";

/// The SSM parameters with a stack's configuration.
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

    /// Whether the deployed configuration is exactly `document`. Compares uncompressed text, because releases may compress differently.
    pub(super) async fn holds(&self, document: &str) -> Result<bool, CloudError> {
        Ok(self.compare(document).await? == DataChange::Keep)
    }

    /// Compares the deployed configuration with `document`.
    pub(super) async fn compare(&self, document: &str) -> Result<DataChange, CloudError> {
        Ok(match self.read().await? {
            None => DataChange::Create,
            // A damaged configuration, left by an interrupted removal or a manual edit, is written again.
            Some(Ok(found)) if found == document => DataChange::Keep,
            Some(_) => DataChange::Change,
        })
    }

    /// Returns the deployed configuration; none if there is no parameter.
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

    /// Writes the configuration. The Lambda reads the previous one until the last call succeeds.
    pub(super) async fn put(&self, stored: &StoredDocument) -> Result<(), CloudError> {
        for (suffix, value) in &stored.parts {
            let name = format!("{}/{suffix}", self.name);
            self.editor.put(&name, DESCRIPTION, value).await?;
        }
        self.editor
            .put(&self.name, DESCRIPTION, &stored.value)
            .await
    }

    /// Removes the parts of earlier documents. Makes no writing call if there are none.
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

    /// Returns the names of the main parameter and of all parts.
    pub(super) async fn names(&self) -> Result<Vec<String>, CloudError> {
        let mut names = Vec::new();
        if self.editor.value(&self.name).await?.is_some() {
            names.push(self.name.clone());
        }
        names.extend(self.parts().await?);
        Ok(names)
    }

    /// Removes all parameters and returns their names. The parts go last, so that none is missing while the main parameter names it.
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
