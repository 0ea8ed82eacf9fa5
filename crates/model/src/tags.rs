//! The tag actions, under the rules of *Tag your Amazon EC2 resources* (EC2 User Guide): 50 per resource without AWS's
//! own, keys of 1 to 128 and values of up to 256 characters, and no `aws:` prefix.

use std::collections::HashSet;

use crate::error::ModelError;
use crate::ids::{Ec2InstanceId, Home};
use crate::lifecycle::MAX_IDS;
use crate::world::ModelWorld;

/// The most user tags of a resource.
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
const RESERVED: &str = "aws:";

impl ModelWorld {
    /// `CreateTags`: adds or overwrites tags on all the resources or on none.
    pub(crate) fn create_tags(
        &mut self,
        home: &Home,
        resources: &[String],
        tags: &[(String, String)],
    ) -> Result<(), ModelError> {
        if tags.is_empty() {
            return Err(ModelError::missing_parameter("Tag"));
        }
        let mut keys = HashSet::new();
        for (key, value) in tags {
            check_key(key)?;
            if value.chars().count() > MAX_VALUE {
                return Err(ModelError::invalid_value(format!(
                    "Tag value exceeds the maximum length of {MAX_VALUE} characters"
                )));
            }
            if !keys.insert(key) {
                return Err(ModelError::invalid_value(format!(
                    "Duplicate tag key '{key}' specified."
                )));
            }
        }
        let ids = self.tagged(home, resources)?;
        for id in &ids {
            let own = &self.change(id).tags;
            let kept = own
                .keys()
                .filter(|key| !key.starts_with(RESERVED) && !keys.contains(key));
            if kept.count() + keys.len() > MAX_TAGS {
                return Err(ModelError::tag_limit());
            }
        }
        for id in &ids {
            self.change(id).tags.extend(tags.iter().cloned());
        }
        Ok(())
    }

    /// `DeleteTags`: removes by key with any value, or by key and value; without keys, removes every user tag.
    pub(crate) fn delete_tags(
        &mut self,
        home: &Home,
        resources: &[String],
        tags: &[(String, Option<String>)],
    ) -> Result<(), ModelError> {
        for (key, _) in tags {
            check_key(key)?;
        }
        for id in self.tagged(home, resources)? {
            let own = &mut self.change(&id).tags;
            if tags.is_empty() {
                own.retain(|key, _| key.starts_with(RESERVED));
            }
            for (key, value) in tags {
                if value
                    .as_ref()
                    .is_none_or(|value| own.get(key) == Some(value))
                {
                    own.remove(key);
                }
            }
        }
        Ok(())
    }

    fn tagged(&self, home: &Home, resources: &[String]) -> Result<Vec<Ec2InstanceId>, ModelError> {
        match resources.len() {
            0 => return Err(ModelError::missing_parameter("ResourceId")),
            many if many > MAX_IDS => {
                return Err(ModelError::invalid_value(format!(
                    "A call can name at most {MAX_IDS} resources"
                )));
            }
            _ => {}
        }
        if let Some(bad) = resources
            .iter()
            .find(|id| id.parse::<Ec2InstanceId>().is_err())
        {
            return Err(ModelError::client(
                "InvalidID",
                format!("The ID '{bad}' is not valid"),
            ));
        }
        let found = self.resolve(home, resources)?;
        Ok(found.iter().map(|instance| instance.id.clone()).collect())
    }
}

fn check_key(key: &str) -> Result<(), ModelError> {
    match key.chars().count() {
        0 => Err(ModelError::invalid_value(
            "Tag key cannot be null, empty or only whitespace.",
        )),
        long if long > MAX_KEY => Err(ModelError::invalid_value(format!(
            "Tag key exceeds the maximum length of {MAX_KEY} characters"
        ))),
        _ if key.starts_with(RESERVED) => Err(ModelError::invalid_value(
            "Tag keys starting with 'aws:' are reserved for internal use",
        )),
        _ => Ok(()),
    }
}
