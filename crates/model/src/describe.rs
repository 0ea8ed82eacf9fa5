//! The describe actions, in pages: `MaxResults` from 5 to 1000, not together with ids (`DescribeInstances`,
//! `DescribeInstanceStatus`, `DescribeTags`, `DescribeSpotInstanceRequests` in the API Reference). Without `MaxResults`
//! one response holds everything, as on AWS.
//!
//! A page continues after the last id of the previous one, so that its cost depends on its own length, not on the
//! fleet's.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::error::ModelError;
use crate::filter::{CompiledFilters, FilterField, InstanceField, SpotField, TagField};
use crate::ids::{Ec2InstanceId, Home};
use crate::instance::{Ec2Instance, Ec2InstanceState};
use crate::request::{
    DescribeQuery, RegionLine, RegionScope, ResultPage, StatusChecks, StatusScope, TagLine,
};
use crate::world::{InstancesById, ModelWorld};

/// `DescribeInstanceStatus`: "Maximum 100 explicitly specified instance IDs".
const MAX_STATUS_IDS: usize = 100;

impl ModelWorld {
    pub(crate) fn describe_instances(
        &self,
        home: &Home,
        query: &DescribeQuery,
    ) -> Result<ResultPage<Arc<Ec2Instance>>, ModelError> {
        let filters = CompiledFilters::<InstanceField>::compile(&query.filters)?;
        self.select(home, query, |instance| filters.accept(instance))
    }

    pub(crate) fn describe_statuses(
        &self,
        home: &Home,
        query: &DescribeQuery,
        scope: StatusScope,
    ) -> Result<ResultPage<StatusChecks>, ModelError> {
        if query.ids.len() > MAX_STATUS_IDS {
            return Err(ModelError::invalid_value(format!(
                "A call can name at most {MAX_STATUS_IDS} instances"
            )));
        }
        let filters = CompiledFilters::<InstanceField>::compile(&query.filters)?;
        let page = self.select(home, query, |instance| {
            (scope == StatusScope::All || instance.state == Ec2InstanceState::Running)
                && filters.accept(instance)
        })?;
        let health = |instance: Arc<Ec2Instance>| {
            let status = match instance.running_since {
                Some(since)
                    if self.now.duration_since(since)
                        < self.durations_of(&instance.id).checking =>
                {
                    "initializing"
                }
                Some(_) => "ok",
                None => "not-applicable",
            };
            StatusChecks { instance, status }
        };
        Ok(ResultPage {
            items: page.items.into_iter().map(health).collect(),
            next_token: page.next_token,
        })
    }

    pub(crate) fn describe_spot(
        &self,
        home: &Home,
        query: &DescribeQuery,
    ) -> Result<ResultPage<Arc<Ec2Instance>>, ModelError> {
        let filters = CompiledFilters::<SpotField>::compile(&query.filters)?;
        let size = page_size(query, "spotInstanceRequestIdSet")?;
        let wanted = |instance: &Ec2Instance| {
            instance.spot.as_ref().is_some_and(|spot| {
                (query.ids.is_empty() || query.ids.contains(&spot.id)) && filters.accept(instance)
            })
        };
        let page = walk(self.instances_of(home), query, size, wanted)?;
        let known = |id: &&String| {
            page.items
                .iter()
                .any(|instance| instance.spot.as_ref().is_some_and(|spot| spot.id == **id))
        };
        if query.filters.is_empty()
            && let Some(missing) = query.ids.iter().find(|id| !known(id))
        {
            return Err(ModelError::client(
                "InvalidSpotInstanceRequestID.NotFound",
                format!("The spot instance request ID '{missing}' does not exist"),
            ));
        }
        Ok(page)
    }

    pub(crate) fn describe_tags(
        &self,
        home: &Home,
        query: &DescribeQuery,
    ) -> Result<ResultPage<TagLine>, ModelError> {
        let filters = CompiledFilters::<TagField>::compile(&query.filters)?;
        let size = page_size(query, "resourcesSet")?;
        let after = query.next_token.as_deref().map(read_token).transpose()?;
        let (first, after_key) = match &after {
            Some(place) => {
                let (id, key) = place
                    .split_once(' ')
                    .ok_or_else(ModelError::invalid_token)?;
                (Bound::Included(id), Some((id, key)))
            }
            None => (Bound::Unbounded, None),
        };
        let empty = InstancesById::new();
        let mut lines = self
            .instances_of(home)
            .unwrap_or(&empty)
            .range::<str, _>((first, Bound::Unbounded))
            .flat_map(|(id, instance)| {
                instance
                    .tags
                    .iter()
                    .map(move |(key, value)| (id, key, value))
            })
            .filter(|(id, key, _)| {
                after_key.is_none_or(|after| (id.as_str(), key.as_str()) > after)
            })
            .map(|(id, key, value)| (id.to_string(), key.clone(), value.clone()))
            .filter(|line| filters.accept(line));
        let items: Vec<_> = lines
            .by_ref()
            .take(size)
            .map(|(resource, key, value)| TagLine {
                resource,
                key,
                value,
            })
            .collect();
        let more = lines.next().is_some();
        let next_token = items
            .last()
            .filter(|_| more)
            .map(|last| write_token(&format!("{} {}", last.resource, last.key)));
        Ok(ResultPage { items, next_token })
    }

    pub(crate) fn describe_regions(
        &self,
        query: &DescribeQuery,
        scope: RegionScope,
    ) -> Result<Vec<RegionLine>, ModelError> {
        let filters = CompiledFilters::<RegionField>::compile(&query.filters)?;
        let regions = self.access.regions();
        if let Some(unknown) = query
            .ids
            .iter()
            .find(|id| !regions.iter().any(|region| region.name == **id))
        {
            return Err(ModelError::invalid_value(format!(
                "Invalid region name: '{unknown}'"
            )));
        }
        Ok(regions
            .into_iter()
            .filter(|region| match query.ids.as_slice() {
                [] => scope == RegionScope::All || region.opt_in != "not-opted-in",
                ids => ids.contains(&region.name),
            })
            .filter(|region| filters.accept(region))
            .collect())
    }

    fn select(
        &self,
        home: &Home,
        query: &DescribeQuery,
        wanted: impl Fn(&Ec2Instance) -> bool,
    ) -> Result<ResultPage<Arc<Ec2Instance>>, ModelError> {
        let size = page_size(query, "instancesSet")?;
        if query.ids.is_empty() {
            return walk(self.instances_of(home), query, size, wanted);
        }
        let named: BTreeMap<&str, &Ec2Instance> = self
            .resolve(home, &query.ids)?
            .into_iter()
            .map(|instance| (instance.id.as_str(), instance))
            .collect();
        let items = named
            .values()
            .filter(|instance| wanted(instance))
            .filter_map(|instance| self.find(&instance.id).cloned())
            .collect();
        Ok(ResultPage {
            items,
            next_token: None,
        })
    }
}

/// The filters of `DescribeRegions`.
enum RegionField {
    Name,
    OptIn,
}

impl FilterField for RegionField {
    type Of = RegionLine;

    fn named(name: &str) -> Option<Self> {
        match name {
            "region-name" => Some(Self::Name),
            "opt-in-status" => Some(Self::OptIn),
            _ => None,
        }
    }

    fn any(&self, of: &RegionLine, wanted: &crate::filter::FilterValues) -> bool {
        match self {
            Self::Name => wanted.is(&of.name),
            Self::OptIn => wanted.is(of.opt_in),
        }
    }
}

fn walk(
    instances_of: Option<&InstancesById>,
    query: &DescribeQuery,
    size: usize,
    wanted: impl Fn(&Ec2Instance) -> bool,
) -> Result<ResultPage<Arc<Ec2Instance>>, ModelError> {
    let after = match &query.next_token {
        Some(token) => Bound::Excluded(
            read_token(token)?
                .parse::<Ec2InstanceId>()
                .map_err(|_| ModelError::invalid_token())?,
        ),
        None => Bound::Unbounded,
    };
    let empty = InstancesById::new();
    let mut instances = instances_of
        .unwrap_or(&empty)
        .range((after, Bound::Unbounded))
        .map(|(_, instance)| instance)
        .filter(|instance| wanted(instance));
    let items: Vec<_> = instances.by_ref().take(size).cloned().collect();
    let more = instances.next().is_some();
    let next_token = items
        .last()
        .filter(|_| more)
        .map(|last| write_token(last.id.as_str()));
    Ok(ResultPage { items, next_token })
}

fn page_size(query: &DescribeQuery, ids: &str) -> Result<usize, ModelError> {
    if !query.ids.is_empty() {
        let other = match (query.max_results, &query.next_token) {
            (Some(_), _) => Some("maxResults"),
            (None, Some(_)) => Some("nextToken"),
            (None, None) => None,
        };
        if let Some(other) = other {
            return Err(ModelError::invalid_combination(format!(
                "The parameter {ids} cannot be used with the parameter {other}"
            )));
        }
    }
    match query.max_results {
        None => Ok(usize::MAX),
        Some(few) if few < 5 => Err(ModelError::invalid_value(format!(
            "Value ( {few} ) for parameter maxResults is invalid. Expecting a value greater than 5."
        ))),
        Some(many) if many > 1000 => Err(ModelError::invalid_value(format!(
            "Value ( {many} ) for parameter maxResults is invalid. Expecting a value less than 1000."
        ))),
        Some(size) => usize::try_from(size).map_err(|_| ModelError::invalid_token()),
    }
}

/// Encodes a token so that it is opaque to callers.
fn write_token(place: &str) -> String {
    use std::fmt::Write as _;
    place.bytes().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{:02x}", byte ^ 0x5a);
        token
    })
}

fn read_token(token: &str) -> Result<String, ModelError> {
    let bytes = token
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let digits = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(digits, 16).ok().map(|byte| byte ^ 0x5a)
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(ModelError::invalid_token)?;
    String::from_utf8(bytes).map_err(|_| ModelError::invalid_token())
}
