//! The S3 bucket of the Lambda's code: one per stack, account and region, with each zip under the hash of its content.
//!
//! A tag marks the bucket as the stack's. A bucket without the tag that holds other objects belongs to another program, and is neither
//! written nor emptied. Other objects in the stack's bucket are kept, and so is the bucket then.

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

use super::caller_account::CallerAccount;
use super::data_change::DataChange;
use super::lambda_package::LambdaPackage;
use super::{DeployError, STACK_TAG};

/// The bucket of a stack, which may not exist yet.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    pub(super) name: String,
    stack: StackName,
    owner: String,
    region: String,
}

/// What exists under the bucket's name.
#[derive(Debug)]
pub(super) enum BucketState {
    /// There is no bucket.
    Absent,
    /// It is the stack's bucket.
    Owned(BucketContents),
    /// It lacks the stack's tag and holds objects that no deployment made.
    Foreign(BucketContents),
}

/// The tags and objects of a bucket.
#[derive(Debug)]
pub(super) struct BucketContents {
    /// The bucket's tags. The stack's tag is missing after an interrupted deployment, and with older releases.
    tags: Vec<Tag>,
    /// The zips of the Lambda's code.
    code: Vec<Object>,
    /// The keys of all other objects.
    others: Vec<String>,
}

/// The result of removing the bucket.
#[derive(Debug, Default)]
pub(super) struct BucketRemoval {
    /// Whether the bucket was removed.
    pub(super) removed: bool,
    /// The keys of the removed objects.
    pub(super) objects: Vec<String>,
    /// Why something was kept on purpose, as a sentence.
    pub(super) kept: Option<String>,
    /// Why something could not be removed, as a sentence.
    pub(super) failed: Option<String>,
}

impl BucketState {
    /// Whether a deployment of this stack created the bucket.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self, Self::Owned(_))
    }
}

impl BucketContents {
    fn keys(&self) -> Vec<String> {
        let keys = self.code.iter().filter_map(|object| object.key());
        keys.map(str::to_owned).collect()
    }

    /// Describes the objects that no deployment made: their number and an example.
    fn foreign(&self) -> String {
        let example = self.others.first().map_or("", String::as_str);
        match self.others.len() {
            1 => format!("an object that Curfew did not make, `{example}`"),
            several => format!("{several} objects that Curfew did not make, such as `{example}`"),
        }
    }
}

/// Whether the key is that of a Lambda zip: `lambda/` and a SHA-256 in hexadecimal.
fn is_code(key: &str) -> bool {
    let hash = key
        .strip_prefix("lambda/")
        .and_then(|rest| rest.strip_suffix(".zip"));
    hash.is_some_and(|hash| {
        hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl Bucket {
    /// How many zips are kept: the current one and the previous one, to which CloudFormation can roll back. Each is 2 MB.
    const KEPT: usize = 2;

    pub(super) fn new(conn: &Connection, stack: &StackName, account: &CallerAccount) -> Self {
        // An emulator's host name can't have the bucket's name as a prefix.
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

    /// Returns the key of this code.
    pub(super) fn key(package: &LambdaPackage) -> String {
        format!("lambda/{}.zip", package.sha256)
    }

    /// Returns the bucket's state. Makes no writing call.
    pub(super) async fn find(&self) -> Result<BucketState, CloudError> {
        let Some(objects) = self.objects().await? else {
            return Ok(BucketState::Absent);
        };
        let (code, others): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .partition(|object| object.key().is_some_and(is_code));
        let contents = BucketContents {
            tags: self.tags().await?,
            code,
            others: others.into_iter().filter_map(|object| object.key).collect(),
        };
        Ok(
            if self.has_stack_tag(&contents) || contents.others.is_empty() {
                BucketState::Owned(contents)
            } else {
                BucketState::Foreign(contents)
            },
        )
    }

    /// Compares the code in the bucket with `package`. Fails if the bucket belongs to another program.
    pub(super) fn compare(
        &self,
        package: &LambdaPackage,
        found: &BucketState,
    ) -> Result<DataChange, DeployError> {
        let key = Self::key(package);
        match found {
            BucketState::Absent => Ok(DataChange::Create),
            BucketState::Foreign(contents) => Err(DeployError::ForeignBucket {
                bucket: self.name.clone(),
                holds: contents.foreign(),
            }),
            BucketState::Owned(contents) if contents.code.is_empty() => Ok(DataChange::Create),
            BucketState::Owned(contents) => {
                let mut code = contents.code.iter();
                Ok(if code.any(|object| object.key() == Some(&key)) {
                    DataChange::Keep
                } else {
                    DataChange::Change
                })
            }
        }
    }

    /// Creates the bucket if there is none, and sets the stack's tag. Returns whether it wrote anything.
    pub(super) async fn claim(&self, found: &BucketState) -> Result<bool, CloudError> {
        match found {
            BucketState::Absent => {
                self.create().await?;
                self.add_stack_tag(&[]).await?;
            }
            BucketState::Owned(contents) if !self.has_stack_tag(contents) => {
                self.add_stack_tag(&contents.tags).await?;
            }
            BucketState::Owned(_) | BucketState::Foreign(_) => return Ok(false),
        }
        Ok(true)
    }

    pub(super) async fn put(&self, package: &LambdaPackage) -> Result<(), CloudError> {
        self.client
            .put_object()
            .bucket(&self.name)
            .expected_bucket_owner(&self.owner)
            .key(Self::key(package))
            .content_type("application/zip")
            .body(ByteStream::from(package.zip.clone()))
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:PutObject", error))?;
        Ok(())
    }

    /// Returns the keys of the code to remove: all but `package` and the code at `before`, or else the newest other code.
    pub(super) fn stale(
        package: &LambdaPackage,
        before: Option<&str>,
        found: &BucketState,
    ) -> Vec<String> {
        let BucketState::Owned(contents) = found else {
            return Vec::new();
        };
        let current = Self::key(package);
        let mut others: Vec<_> = contents.code.iter().collect();
        others.retain(|object| object.key() != Some(&current));
        others.sort_by_key(|object| {
            let known = object.key() == before;
            std::cmp::Reverse((known, object.last_modified().copied()))
        });
        let stale = others.into_iter().skip(Self::KEPT - 1);
        stale.filter_map(|object| object.key.clone()).collect()
    }

    /// Removes the [stale](Self::stale) code, and returns its keys. Makes no writing call if there is none.
    pub(super) async fn prune(
        &self,
        package: &LambdaPackage,
        before: Option<&str>,
    ) -> Result<Vec<String>, CloudError> {
        let stale = Self::stale(package, before, &self.find().await?);
        self.delete(&stale).await?;
        Ok(stale)
    }

    /// Returns what [`remove`](Self::remove) would do.
    pub(super) fn removal(&self, found: &BucketState) -> BucketRemoval {
        let name = &self.name;
        match found {
            BucketState::Absent => BucketRemoval::default(),
            BucketState::Foreign(contents) => BucketRemoval {
                kept: Some(format!(
                    "the bucket `{name}` is kept as it is, because it has no tag `{STACK_TAG}` and holds {}",
                    contents.foreign()
                )),
                ..BucketRemoval::default()
            },
            BucketState::Owned(contents) => BucketRemoval {
                removed: contents.others.is_empty(),
                objects: contents.keys(),
                kept: (!contents.others.is_empty()).then(|| {
                    format!(
                        "the bucket `{name}` is kept, because it holds {}",
                        contents.foreign()
                    )
                }),
                failed: None,
            },
        }
    }

    /// Removes the code, and the bucket if that leaves it empty.
    pub(super) async fn remove(&self, found: &BucketState) -> Result<BucketRemoval, CloudError> {
        let mut removal = self.removal(found);
        self.delete(&removal.objects).await?;
        if !removal.removed {
            return Ok(removal);
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
            // A concurrent removal was faster.
            Err(error) if error.kind == CloudErrorKind::NotFound => removal.removed = false,
            // New objects, or older versions of objects, which the listing does not include.
            Err(error) if error.code.as_deref() == Some("BucketNotEmpty") => {
                removal.removed = false;
                let name = &self.name;
                removal.failed = Some(format!(
                    "the bucket `{name}` is kept, because it is not empty: check for new objects and older versions"
                ));
            }
            Err(error) => return Err(error),
        }
        Ok(removal)
    }

    /// Whether the stack's tag is on the bucket.
    fn has_stack_tag(&self, contents: &BucketContents) -> bool {
        let mut tags = contents.tags.iter();
        tags.any(|tag| tag.key == STACK_TAG && tag.value == self.stack.as_str())
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
            // The bucket has no tags, or a concurrent removal was faster.
            Err(error)
                if error.code.as_deref() == Some("NoSuchTagSet")
                    || error.kind == CloudErrorKind::NotFound =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Adds the stack's tag to `others`, the bucket's tags: S3 replaces all tags at once.
    async fn add_stack_tag(&self, others: &[Tag]) -> Result<(), CloudError> {
        let mut tags = others.to_vec();
        tags.retain(|tag| tag.key != STACK_TAG);
        let tag = Tag::builder()
            .key(STACK_TAG)
            .value(self.stack.as_str())
            .build();
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

    /// Returns the objects in the bucket; none if there is no bucket.
    async fn objects(&self) -> Result<Option<Vec<Object>>, CloudError> {
        let mut objects = Vec::new();
        let mut pages = PageTokens::new("s3:ListObjectsV2");
        let mut token = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                // Fails for a bucket of that name in another account.
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
        // S3 rejects this region as a location constraint.
        let location = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let created = self
            .client
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration(location)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:CreateBucket", error));
        match created {
            // A concurrent deployment was faster.
            Err(error) if error.code.as_deref() != Some("BucketAlreadyOwnedByYou") => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes objects. Succeeds if the bucket does not exist.
    async fn delete(&self, keys: &[String]) -> Result<(), CloudError> {
        let ids: Vec<_> = keys
            .iter()
            .filter_map(|key| ObjectIdentifier::builder().key(key).build().ok())
            .collect();
        // The maximum of one call.
        for ids in ids.chunks(1000) {
            let delete = Delete::builder()
                .set_objects(Some(ids.to_vec()))
                .quiet(true)
                .build()
                .expect("there are objects to delete");
            let response = self
                .client
                .delete_objects()
                .bucket(&self.name)
                .expected_bucket_owner(&self.owner)
                .delete(delete)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("s3:DeleteObjects", error));
            let response = match response {
                // A concurrent removal was faster.
                Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(()),
                response => response?,
            };
            if let Some(failed) = response.errors().first() {
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
    fn only_uploaded_zips_count_as_code() {
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
