//! The configuration's way to the Lambda: one SSM parameter, replaced as a whole, and where it is too small, others that it names.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::{ParameterTier, ParameterType};
use curfew_aws::connect::Connection;
use curfew_aws::document::{Contents, Damaged, Stored};
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::pages::PageTokens;
use curfew_core::stack_name::StackName;

use super::data_change::DataChange;

/// A stack's parameters.
pub(super) struct ConfigurationParameter {
    client: Client,
    pub(super) name: String,
}

impl ConfigurationParameter {
    pub(super) fn new(conn: &Connection, stack: &StackName) -> Self {
        let config = Builder::from(&conn.sdk).interceptor(conn.calls.clone());
        Self {
            client: Client::from_conf(config.build()),
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
    pub(super) async fn read(&self) -> Result<Option<Result<String, Damaged>>, CloudError> {
        let Some(value) = self.get(&self.name).await? else {
            return Ok(None);
        };
        Ok(Some(match Contents::of(&value) {
            Ok(Contents::Whole(found)) => Ok(found),
            Ok(Contents::InParts(parts)) => {
                let mut values = Vec::new();
                for name in parts.names(&self.name) {
                    values.extend(self.get(&name).await?);
                }
                parts.join(&values)
            }
            Err(damaged) => Err(damaged),
        }))
    }

    /// Writes what the Lambda shall read. Until the last call it reads what it read before.
    pub(super) async fn put(&self, stored: &Stored) -> Result<(), CloudError> {
        for (suffix, value) in &stored.parts {
            self.put_one(&format!("{}/{suffix}", self.name), value)
                .await?;
        }
        self.put_one(&self.name, &stored.value).await
    }

    /// Removes the parts of documents that are no longer read. Makes no writing call where there are none.
    pub(super) async fn prune(&self) -> Result<(), CloudError> {
        let value = self.get(&self.name).await?.unwrap_or_default();
        let current: Vec<_> = match Contents::of(&value) {
            Ok(Contents::InParts(parts)) => parts.names(&self.name).collect(),
            _ => Vec::new(),
        };
        let mut stale = self.parts().await?;
        stale.retain(|name| !current.contains(name));
        for name in &stale {
            self.remove_one(name).await?;
        }
        Ok(())
    }

    /// All that there is: the parameter that leads to the parts, and those.
    pub(super) async fn names(&self) -> Result<Vec<String>, CloudError> {
        let mut names = Vec::new();
        if self.get(&self.name).await?.is_some() {
            names.push(self.name.clone());
        }
        names.extend(self.parts().await?);
        Ok(names)
    }

    /// Removes all of it; answers with the names of what there was. The parts go last: none is missing while something leads to it.
    pub(super) async fn remove(&self) -> Result<Vec<String>, CloudError> {
        let names = self.names().await?;
        for name in &names {
            self.remove_one(name).await?;
        }
        Ok(names)
    }

    async fn parts(&self) -> Result<Vec<String>, CloudError> {
        let mut pages = PageTokens::new("ssm:GetParametersByPath");
        let mut token = None;
        let mut names = Vec::new();
        loop {
            let page = self
                .client
                .get_parameters_by_path()
                .path(&self.name)
                .recursive(true)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("ssm:GetParametersByPath", error))?;
            let parameters = page.parameters.unwrap_or_default();
            names.extend(parameters.into_iter().filter_map(|one| one.name));
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    /// What a parameter holds; none if there is none.
    async fn get(&self, name: &str) -> Result<Option<String>, CloudError> {
        let answer = self
            .client
            .get_parameter()
            .name(name)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ssm:GetParameter", error));
        match answer {
            Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
            Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put_one(&self, name: &str, value: &str) -> Result<(), CloudError> {
        self.client
            .put_parameter()
            .name(name)
            .description("Curfew's schedules, as its Lambda reads them; written by curfew")
            .value(value)
            .r#type(ParameterType::String)
            // Costs nothing up to 4096 bytes, and lets a parameter that was larger once be written when it is smaller again.
            .tier(ParameterTier::IntelligentTiering)
            .overwrite(true)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ssm:PutParameter", error))?;
        Ok(())
    }

    /// What is gone already is no error.
    async fn remove_one(&self, name: &str) -> Result<(), CloudError> {
        let removed = self
            .client
            .delete_parameter()
            .name(name)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ssm:DeleteParameter", error));
        match removed {
            Err(error) if error.kind != CloudErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
