//! The settings' way to the Lambda: one SSM parameter, replaced as a whole.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{ParameterTier, ParameterType};
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::rules::StackName;

use super::DeployError;

/// What SSM's larger tier holds, in bytes. The smaller one, which costs nothing, holds half of it.
pub(super) const LARGEST: usize = 8192;

/// A stack's parameter.
pub(super) struct SettingsParameter {
    client: Client,
    pub(super) name: String,
}

impl SettingsParameter {
    pub(super) fn new(conn: &Connection, stack: &StackName) -> Self {
        Self {
            client: Client::new(&conn.sdk),
            name: format!("/curfew/{stack}/settings"),
        }
    }

    /// Whether `document` fits in.
    pub(super) fn check_size(&self, document: &str) -> Result<(), DeployError> {
        if document.len() <= LARGEST {
            return Ok(());
        }
        Err(DeployError::SettingsTooLarge {
            parameter: self.name.clone(),
            size: document.len(),
        })
    }

    /// Whether it holds just `document`, so that nothing needs writing.
    pub(super) async fn holds(&self, document: &str) -> Result<bool, CloudError> {
        Ok(self.get().await?.as_deref() == Some(document))
    }

    /// What it holds; none if there is none.
    async fn get(&self) -> Result<Option<String>, CloudError> {
        let answer = self
            .client
            .get_parameter()
            .name(&self.name)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ssm:GetParameter", error));
        match answer {
            Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
            Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put(&self, document: &str) -> Result<(), CloudError> {
        self.client
            .put_parameter()
            .name(&self.name)
            .description("Curfew's schedules, as its Lambda reads them; written by curfew")
            .value(document)
            .r#type(ParameterType::String)
            // Costs nothing up to 4096 bytes, and lets a parameter that was larger once be written when it is smaller again.
            .tier(ParameterTier::IntelligentTiering)
            .overwrite(true)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ssm:PutParameter", error))?;
        Ok(())
    }

    /// Removes it; says whether there was one.
    pub(super) async fn remove(&self) -> Result<bool, CloudError> {
        let removed = self
            .client
            .delete_parameter()
            .name(&self.name)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ssm:DeleteParameter", error));
        match removed {
            Ok(_) => Ok(true),
            Err(error) if error.kind == CloudErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
