//! Detection of another tool that manages an instance and would replace it when it stops. Curfew does not act on such instances.
//!
//! The evidence is EC2's `Operator` field, tags with the prefix `aws:`, which only AWS can write, and the tags that EKS, Karpenter,
//! Batch and Elastic Beanstalk set on the instances that they launch.

use std::fmt;

use serde::Serialize;

use crate::instance::Instance;

/// The tool that manages an instance, and the name of the group, cluster or environment that the instance is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Owner {
    /// The kind of tool.
    #[serde(rename = "code")]
    pub kind: OwnerKind,
    /// The name of the group, cluster, environment or service, if a tag has it.
    #[serde(rename = "owner", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The tools that manage instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// An AWS service in EC2's field `Operator`: EKS Auto Mode, ECS Managed Instances, `WorkSpaces` and others.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/amazon-ec2-managed-instances.html>
    Operator,
    /// An EMR cluster.
    /// <https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-tags.html>
    EmrCluster,
    /// An EKS managed node group.
    /// <https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html>
    EksNodeGroup,
    /// A Karpenter node pool, or provisioner before its version 0.32.
    /// <https://karpenter.sh/docs/concepts/nodeclasses/#spectags>
    Karpenter,
    /// A compute environment of AWS Batch.
    /// <https://docs.aws.amazon.com/batch/latest/userguide/using-tags.html>
    Batch,
    /// An environment of Elastic Beanstalk.
    /// <https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/applications-tagging-resources.html>
    ElasticBeanstalk,
    /// An Auto Scaling group.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html>
    AutoScalingGroup,
    /// A Spot Fleet.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet.html>
    SpotFleet,
    /// An EC2 Fleet.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet.html>
    Ec2Fleet,
}

/// The tags that identify a tool, the most specific first: a node group and a Beanstalk environment each have an Auto Scaling group,
/// and an Auto Scaling group may launch instances through an EC2 Fleet. The value of the tag is the owner's name.
const TAGS: [(&str, OwnerKind); 11] = [
    ("aws:elasticmapreduce:job-flow-id", OwnerKind::EmrCluster),
    ("eks:nodegroup-name", OwnerKind::EksNodeGroup),
    ("karpenter.sh/nodepool", OwnerKind::Karpenter),
    ("karpenter.sh/provisioner-name", OwnerKind::Karpenter),
    ("aws:batch:compute-environment", OwnerKind::Batch),
    (BATCH_TAG, OwnerKind::Batch),
    (
        "elasticbeanstalk:environment-name",
        OwnerKind::ElasticBeanstalk,
    ),
    (
        "elasticbeanstalk:environment-id",
        OwnerKind::ElasticBeanstalk,
    ),
    ("aws:autoscaling:groupName", OwnerKind::AutoScalingGroup),
    ("aws:ec2spot:fleet-request-id", OwnerKind::SpotFleet),
    ("aws:ec2:fleet-id", OwnerKind::Ec2Fleet),
];

/// Batch sets this tag to `batch`, which does not identify an environment.
const BATCH_TAG: &str = "AWSBatchServiceTag";

impl Owner {
    /// Returns the tool that manages the instance, if any.
    pub fn of(instance: &Instance) -> Option<Self> {
        if let Some(principal) = &instance.operator {
            return Some(Self::new(OwnerKind::Operator, principal));
        }
        let (key, value, kind) = TAGS
            .iter()
            .find_map(|(key, kind)| Some((*key, instance.tags.get(*key)?, *kind)))?;
        Some(Self::new(kind, if key == BATCH_TAG { "" } else { value }))
    }

    fn new(kind: OwnerKind, name: &str) -> Self {
        let name = name.trim();
        Self {
            kind,
            name: (!name.is_empty()).then(|| name.to_owned()),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            OwnerKind::Operator => "the AWS service",
            OwnerKind::EmrCluster => "the EMR cluster",
            OwnerKind::EksNodeGroup => "the EKS node group",
            OwnerKind::Karpenter => "the Karpenter node pool",
            OwnerKind::Batch => "the AWS Batch compute environment",
            OwnerKind::ElasticBeanstalk => "the Elastic Beanstalk environment",
            OwnerKind::AutoScalingGroup => "the Auto Scaling group",
            OwnerKind::SpotFleet => "the Spot Fleet",
            OwnerKind::Ec2Fleet => "the EC2 Fleet",
        })?;
        match &self.name {
            Some(name) => write!(f, " `{}`", name.escape_debug()),
            None => f.write_str(" that launched it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    fn owner(tags: &[(&str, &str)]) -> Option<String> {
        let mut instance = test_support::instance("web");
        for (key, value) in tags {
            instance.tags.insert((*key).into(), (*value).into());
        }
        Owner::of(&instance).map(|owner| owner.to_string())
    }

    #[test]
    fn each_tool_is_identified_by_its_tags() {
        for (key, value, expected) in [
            (
                "aws:elasticmapreduce:job-flow-id",
                "j-2AXXXXXXGAPLF",
                "the EMR cluster `j-2AXXXXXXGAPLF`",
            ),
            (
                "eks:nodegroup-name",
                "workers",
                "the EKS node group `workers`",
            ),
            (
                "karpenter.sh/nodepool",
                "spot",
                "the Karpenter node pool `spot`",
            ),
            (
                "karpenter.sh/provisioner-name",
                "default",
                "the Karpenter node pool `default`",
            ),
            (
                "aws:batch:compute-environment",
                "nightly",
                "the AWS Batch compute environment `nightly`",
            ),
            (
                "AWSBatchServiceTag",
                "batch",
                "the AWS Batch compute environment that launched it",
            ),
            (
                "elasticbeanstalk:environment-name",
                "shop",
                "the Elastic Beanstalk environment `shop`",
            ),
            (
                "elasticbeanstalk:environment-id",
                "e-abc",
                "the Elastic Beanstalk environment `e-abc`",
            ),
            (
                "aws:autoscaling:groupName",
                "web",
                "the Auto Scaling group `web`",
            ),
            (
                "aws:ec2spot:fleet-request-id",
                "sfr-1",
                "the Spot Fleet `sfr-1`",
            ),
            ("aws:ec2:fleet-id", "fleet-1", "the EC2 Fleet `fleet-1`"),
        ] {
            assert_eq!(owner(&[(key, value)]).as_deref(), Some(expected), "{key}");
        }
        assert_eq!(owner(&[("kubernetes.io/cluster/prod", "owned")]), None);
        assert_eq!(
            owner(&[("AWS:AUTOSCALING:GROUPNAME", "web")]),
            None,
            "tag keys are case-sensitive"
        );
    }

    #[test]
    fn the_most_specific_owner_is_named() {
        let group = ("aws:autoscaling:groupName", "eks-workers-42");
        let fleet = ("aws:ec2:fleet-id", "fleet-1");
        for (tag, expected) in [
            (
                ("eks:nodegroup-name", "workers"),
                "the EKS node group `workers`",
            ),
            (
                ("elasticbeanstalk:environment-name", "shop"),
                "the Elastic Beanstalk environment `shop`",
            ),
            (
                ("AWSBatchServiceTag", "batch"),
                "the AWS Batch compute environment that launched it",
            ),
            (
                ("karpenter.sh/nodepool", "spot"),
                "the Karpenter node pool `spot`",
            ),
        ] {
            assert_eq!(owner(&[group, fleet, tag]).as_deref(), Some(expected));
        }
        assert_eq!(
            owner(&[group, fleet]).as_deref(),
            Some("the Auto Scaling group `eks-workers-42`")
        );
        let both = [
            ("AWSBatchServiceTag", "batch"),
            ("aws:batch:compute-environment", "nightly"),
        ];
        assert_eq!(
            owner(&both).as_deref(),
            Some("the AWS Batch compute environment `nightly`")
        );
    }

    #[test]
    fn the_operator_field_takes_precedence_over_tags() {
        let mut instance = test_support::instance("web");
        instance
            .tags
            .insert("karpenter.sh/nodepool".into(), "general".into());
        instance.operator = Some("eks.amazonaws.com".into());
        let owner = Owner::of(&instance).unwrap();
        assert_eq!(owner.to_string(), "the AWS service `eks.amazonaws.com`");
        instance.operator = Some(String::new());
        let owner = Owner::of(&instance).unwrap();
        assert_eq!(owner.to_string(), "the AWS service that launched it");
    }
}
