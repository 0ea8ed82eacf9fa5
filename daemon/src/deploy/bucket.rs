//! The bucket that the Lambda's code is deployed from: one per stack, account and region, with each zip under its content's hash.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, Object, ObjectIdentifier,
};
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::rules::StackName;

use super::artifact::Artifact;
use super::place::Account;
use super::preview::DataChange;

/// A stack's bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    pub(super) name: String,
    owner: String,
    region: String,
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
            owner: account.id.clone(),
            region: conn.region().to_owned(),
        }
    }

    /// Where this code is, or will be.
    pub(super) fn key(artifact: &Artifact) -> String {
        format!("lambda/{}.zip", artifact.sha256)
    }

    /// Whether the code is there, or other code.
    pub(super) async fn compare(&self, artifact: &Artifact) -> Result<DataChange, CloudError> {
        let key = Self::key(artifact);
        let objects = self.objects().await?.unwrap_or_default();
        Ok(if objects.iter().any(|o| o.key() == Some(&key)) {
            DataChange::Keep
        } else if objects.is_empty() {
            DataChange::Create
        } else {
            DataChange::Change
        })
    }

    /// Uploads the code, into a bucket that is made if need be.
    pub(super) async fn put(&self, artifact: &Artifact) -> Result<(), CloudError> {
        if self.objects().await?.is_none() {
            self.create().await?;
        }
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

    /// Whether there is one.
    pub(super) async fn exists(&self) -> Result<bool, CloudError> {
        Ok(self.objects().await?.is_some())
    }

    /// Removes all code but this and what ran before: the newest of the rest, where `before` does not say which. Makes no writing
    /// call where there is nothing to remove.
    pub(super) async fn prune(
        &self,
        artifact: &Artifact,
        before: Option<&str>,
    ) -> Result<(), CloudError> {
        let current = Self::key(artifact);
        let mut others = self.objects().await?.unwrap_or_default();
        others.retain(|object| object.key() != Some(&current));
        others.sort_by_key(|object| {
            let known = object.key() == before;
            std::cmp::Reverse((known, object.last_modified().copied()))
        });
        self.delete(others.split_off(others.len().min(Self::KEPT - 1)))
            .await
    }

    /// Removes the bucket and all that is in it; says whether there was one.
    pub(super) async fn remove(&self) -> Result<bool, CloudError> {
        let Some(objects) = self.objects().await? else {
            return Ok(false);
        };
        self.delete(objects).await?;
        let deleted = self
            .client
            .delete_bucket()
            .bucket(&self.name)
            .expected_bucket_owner(&self.owner)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("s3:DeleteBucket", error));
        match deleted {
            // By somebody else, at the same time.
            Err(error) if error.kind == CloudErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(_) => Ok(true),
        }
    }

    /// What is in the bucket; none if there is no bucket.
    async fn objects(&self) -> Result<Option<Vec<Object>>, CloudError> {
        let mut objects = Vec::new();
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            // A bucket of that name that belongs to somebody else is never read or written.
            .expected_bucket_owner(&self.owner)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            match page.map_err(|error| CloudError::from_sdk("s3:ListObjectsV2", error)) {
                Ok(page) => objects.extend(page.contents.unwrap_or_default()),
                Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(objects))
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

    async fn delete(&self, objects: Vec<Object>) -> Result<(), CloudError> {
        let ids: Vec<_> = objects
            .into_iter()
            .filter_map(|object| ObjectIdentifier::builder().key(object.key?).build().ok())
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
                .map_err(|error| CloudError::from_sdk("s3:DeleteObjects", error))?;
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
