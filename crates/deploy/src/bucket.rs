//! The bucket that the Lambda's code is deployed from: one per stack, account and region, with each zip under its content's hash.
//!
//! A tag says that it is the stack's. A bucket without the tag that holds anything else than such zips is another program's, and is
//! neither written nor emptied; what else is in a bucket of the stack stays where it is, and keeps the bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, Object, ObjectIdentifier, Tag,
    Tagging,
};
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::pages::PageTokens;
use curfew_core::stack_name::StackName;

use super::artifact::Artifact;
use super::data_change::DataChange;
use super::place::Account;
use super::{DeployError, MARK};

/// A stack's bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    pub(super) name: String,
    stack: StackName,
    owner: String,
    region: String,
}

/// What is there under the bucket's name.
#[derive(Debug)]
pub(super) enum Found {
    /// No bucket.
    Nothing,
    /// The stack's bucket.
    Ours(Contents),
    /// A bucket without the stack's tag, with objects that no deployment made.
    Foreign(Contents),
}

/// What a bucket holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// The bucket's tags. The stack's is not among them where a deployment was interrupted, or was made by a release without it.
    tags: Vec<Tag>,
    /// The Lambda's zips.
    code: Vec<Object>,
    /// The keys of everything else.
    others: Vec<String>,
}

/// What removing the bucket did.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Whether the bucket is gone.
    pub(super) bucket: bool,
    /// The keys of the objects that are gone.
    pub(super) objects: Vec<String>,
    /// Why something stays on purpose, in a sentence.
    pub(super) kept: Option<String>,
    /// Why something could not be removed, in a sentence.
    pub(super) failed: Option<String>,
}

impl Found {
    /// Whether a deployment of this stack made it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

impl Contents {
    fn keys(&self) -> Vec<String> {
        let keys = self.code.iter().filter_map(|object| object.key());
        keys.map(str::to_owned).collect()
    }

    /// How many objects no deployment made, and one of them.
    fn foreign(&self) -> String {
        let example = self.others.first().map_or("", String::as_str);
        match self.others.len() {
            1 => format!("an object that Curfew did not make, `{example}`"),
            several => format!("{several} objects that Curfew did not make, such as `{example}`"),
        }
    }
}

/// Whether a deployment may have made the object: `lambda/` and a SHA-256 in hexadecimal.
fn is_code(key: &str) -> bool {
    let hash = key
        .strip_prefix("lambda/")
        .and_then(|rest| rest.strip_suffix(".zip"));
    hash.is_some_and(|hash| {
        hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl Bucket {
    /// The code that runs and what ran before it, so that CloudFormation can roll back. Each is 2 MB.
    const KEPT: usize = 2;

    pub(super) fn new(conn: &Connection, stack: &StackName, account: &Account) -> Self {
        // An emulator's address has no room for a bucket's name before it.
        let config = aws_sdk_s3::config::Builder::from(&conn.sdk)
            .force_path_style(conn.endpoint().is_some())
            .build();
        Self {
            client: Client::from_conf(config),
            name: format!("{}-{}-{}", stack.prefix(), account.id, conn.region()),
            stack: stack.clone(),
            owner: account.id.clone(),
            region: conn.region().to_owned(),
        }
    }

    /// Where this code is, or will be.
    pub(super) fn key(artifact: &Artifact) -> String {
        format!("lambda/{}.zip", artifact.sha256)
    }

    /// What is there now. Makes no writing call.
    pub(super) async fn find(&self) -> Result<Found, CloudError> {
        let Some(objects) = self.objects().await? else {
            return Ok(Found::Nothing);
        };
        let (code, others): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .partition(|object| object.key().is_some_and(is_code));
        let contents = Contents {
            tags: self.tags().await?,
            code,
            others: others.into_iter().filter_map(|object| object.key).collect(),
        };
        Ok(if self.is_marked(&contents) || contents.others.is_empty() {
            Found::Ours(contents)
        } else {
            Found::Foreign(contents)
        })
    }

    /// Whether the code is there, or other code. Refuses a bucket that is another program's.
    pub(super) fn compare(
        &self,
        artifact: &Artifact,
        found: &Found,
    ) -> Result<DataChange, DeployError> {
        let key = Self::key(artifact);
        match found {
            Found::Nothing => Ok(DataChange::Create),
            Found::Foreign(contents) => Err(DeployError::ForeignBucket {
                bucket: self.name.clone(),
                holds: contents.foreign(),
            }),
            Found::Ours(contents) if contents.code.is_empty() => Ok(DataChange::Create),
            Found::Ours(contents) => {
                let mut code = contents.code.iter();
                Ok(if code.any(|object| object.key() == Some(&key)) {
                    DataChange::Keep
                } else {
                    DataChange::Change
                })
            }
        }
    }

    /// Makes the bucket if there is none, and marks it as the stack's; says whether it wrote anything.
    pub(super) async fn claim(&self, found: &Found) -> Result<bool, CloudError> {
        match found {
            Found::Nothing => {
                self.create().await?;
                self.mark(&[]).await?;
            }
            Found::Ours(contents) if !self.is_marked(contents) => self.mark(&contents.tags).await?,
            Found::Ours(_) | Found::Foreign(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Uploads the code.
    pub(super) async fn put(&self, artifact: &Artifact) -> Result<(), CloudError> {
        self.client
            .put_object()
            .bucket(&self.name)
            .expected_bucket_owner(&self.owner)
            .key(Self::key(artifact))
            .content_type("application/zip")
            .body(ByteStream::from(artifact.zip.clone()))
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:PutObject", error))?;
        Ok(())
    }

    /// The keys of all code but this and what ran before: the newest of the rest, where `before` does not say which.
    pub(super) fn stale(artifact: &Artifact, before: Option<&str>, found: &Found) -> Vec<String> {
        let Found::Ours(contents) = found else {
            return Vec::new();
        };
        let current = Self::key(artifact);
        let mut others: Vec<_> = contents.code.iter().collect();
        others.retain(|object| object.key() != Some(&current));
        others.sort_by_key(|object| {
            let known = object.key() == before;
            std::cmp::Reverse((known, object.last_modified().copied()))
        });
        let stale = others.into_iter().skip(Self::KEPT - 1);
        stale.filter_map(|object| object.key.clone()).collect()
    }

    /// Removes the [stale](Self::stale) code, and answers with its keys. Makes no writing call where there is none.
    pub(super) async fn prune(
        &self,
        artifact: &Artifact,
        before: Option<&str>,
    ) -> Result<Vec<String>, CloudError> {
        let stale = Self::stale(artifact, before, &self.find().await?);
        self.delete(&stale).await?;
        Ok(stale)
    }

    /// What [`remove`](Self::remove) would do.
    pub(super) fn removal(&self, found: &Found) -> Removed {
        let name = &self.name;
        match found {
            Found::Nothing => Removed::default(),
            Found::Foreign(contents) => Removed {
                kept: Some(format!(
                    "the bucket `{name}` stays as it is, because it has no tag `{MARK}` and holds {}",
                    contents.foreign()
                )),
                ..Removed::default()
            },
            Found::Ours(contents) => Removed {
                bucket: contents.others.is_empty(),
                objects: contents.keys(),
                kept: (!contents.others.is_empty()).then(|| {
                    format!(
                        "the bucket `{name}` stays, because it holds {}",
                        contents.foreign()
                    )
                }),
                failed: None,
            },
        }
    }

    /// Removes the code, and the bucket if that leaves it empty.
    pub(super) async fn remove(&self, found: &Found) -> Result<Removed, CloudError> {
        let mut removed = self.removal(found);
        self.delete(&removed.objects).await?;
        if !removed.bucket {
            return Ok(removed);
        }
        let deleted = self
            .client
            .delete_bucket()
            .bucket(&self.name)
            .expected_bucket_owner(&self.owner)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:DeleteBucket", error));
        match deleted {
            Ok(_) => {}
            // By another removal, at the same time.
            Err(error) if error.kind == CloudErrorKind::NotFound => removed.bucket = false,
            // Objects that were written meanwhile, or older versions of objects, which no listing shows.
            Err(error) if error.code.as_deref() == Some("BucketNotEmpty") => {
                removed.bucket = false;
                let name = &self.name;
                removed.failed = Some(format!(
                    "the bucket `{name}` stays, because it is not empty: look for new objects and older versions in it"
                ));
            }
            Err(error) => return Err(error),
        }
        Ok(removed)
    }

    /// Whether the stack's tag is on the bucket.
    fn is_marked(&self, contents: &Contents) -> bool {
        let mut tags = contents.tags.iter();
        tags.any(|tag| tag.key == MARK && tag.value == self.stack.as_str())
    }

    async fn tags(&self) -> Result<Vec<Tag>, CloudError> {
        let tags = self
            .client
            .get_bucket_tagging()
            .bucket(&self.name)
            .expected_bucket_owner(&self.owner)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:GetBucketTagging", error));
        match tags {
            Ok(tags) => Ok(tags.tag_set),
            // A bucket without tags; or one that another removal was faster with.
            Err(error)
                if error.code.as_deref() == Some("NoSuchTagSet")
                    || error.kind == CloudErrorKind::NotFound =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the stack's tag on the bucket, beside those that it has: S3 replaces all tags at once.
    async fn mark(&self, others: &[Tag]) -> Result<(), CloudError> {
        let mut tags = others.to_vec();
        tags.retain(|tag| tag.key != MARK);
        let tag = Tag::builder().key(MARK).value(self.stack.as_str()).build();
        tags.push(tag.expect("it has a key and a value"));
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
        self.client
            .put_bucket_tagging()
            .bucket(&self.name)
            .expected_bucket_owner(&self.owner)
            .tagging(tagging.expect("it has tags"))
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:PutBucketTagging", error))?;
        Ok(())
    }

    /// What is in the bucket; none if there is no bucket.
    async fn objects(&self) -> Result<Option<Vec<Object>>, CloudError> {
        let mut objects = Vec::new();
        let mut pages = PageTokens::new("s3:ListObjectsV2");
        let mut token = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                // A bucket of that name in another account is never read or written.
                .expected_bucket_owner(&self.owner)
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("s3:ListObjectsV2", error));
            let page = match page {
                Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(None),
                page => page?,
            };
            objects.extend(page.contents.unwrap_or_default());
            token = pages.follow(page.next_continuation_token)?;
            if token.is_none() {
                return Ok(Some(objects));
            }
        }
    }

    async fn create(&self) -> Result<(), CloudError> {
        // The one region that may not be named.
        let place = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let created = self
            .client
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration(place)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:CreateBucket", error));
        match created {
            // By another deployment, at the same time.
            Err(error) if error.code.as_deref() != Some("BucketAlreadyOwnedByYou") => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes objects. A bucket that is gone holds none of them.
    async fn delete(&self, keys: &[String]) -> Result<(), CloudError> {
        let ids: Vec<_> = keys
            .iter()
            .filter_map(|key| ObjectIdentifier::builder().key(key).build().ok())
            .collect();
        // As many as one call takes.
        for ids in ids.chunks(1000) {
            let delete = Delete::builder()
                .set_objects(Some(ids.to_vec()))
                .quiet(true)
                .build()
                .expect("there are objects to delete");
            let answer = self
                .client
                .delete_objects()
                .bucket(&self.name)
                .expected_bucket_owner(&self.owner)
                .delete(delete)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("s3:DeleteObjects", error));
            let answer = match answer {
                // By another removal, at the same time.
                Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(()),
                answer => answer?,
            };
            if let Some(failed) = answer.errors().first() {
                return Err(CloudError::new(
                    "s3:DeleteObjects",
                    CloudErrorKind::Refused,
                    format!(
                        "`{}`: {}",
                        failed.key().unwrap_or_default(),
                        failed.message().unwrap_or("no reason given")
                    ),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_deployment_uploads_counts_as_code() {
        let hash = "0f".repeat(32);
        assert!(is_code(&format!("lambda/{hash}.zip")));
        for other in [
            "terraform.tfstate".to_owned(),
            "lambda/layer.zip".to_owned(),
            format!("lambda/{hash}.tar"),
            format!("lambda/{}.zip", hash.to_uppercase()),
            format!("lambda/{hash}0.zip"),
            format!("old/lambda/{hash}.zip"),
            format!("lambda/x/{hash}.zip"),
        ] {
            assert!(!is_code(&other), "{other}");
        }
    }
}
