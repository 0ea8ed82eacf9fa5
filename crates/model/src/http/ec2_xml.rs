//! EC2's responses in XML, element by element as in the examples of the API Reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::outgoing::OutgoingResponse;
use super::xml::Xml;
use crate::error::ModelError;
use crate::filter::ARCHITECTURE;
use crate::ids::Home;
use crate::instance::{Ec2Instance, Ec2InstanceState, HibernationOption};
use crate::request::{
    InstanceStateChange, ModelResponse, RegionLine, ResultPage, StatusChecks, TagLine,
};

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// The response to a call of EC2.
pub(super) fn outgoing(
    action: &str,
    request_id: &str,
    result: &Result<ModelResponse, ModelError>,
    home: &Home,
) -> OutgoingResponse {
    let (status, body) = match result {
        Ok(answer) => (200, render(action, request_id, answer, home)),
        Err(error) => (error.status, render_error(error, request_id)),
    };
    let kind = "text/xml;charset=UTF-8".to_owned();
    OutgoingResponse {
        status,
        headers: vec![("content-type", kind)],
        body,
    }
}

/// The response to an action that succeeded.
fn render(action: &str, request_id: &str, answer: &ModelResponse, home: &Home) -> String {
    let mut xml = Xml::new();
    xml.spaced_element(&format!("{action}Response"), Some(NAMESPACE), |xml| {
        xml.text("requestId", request_id);
        match answer {
            ModelResponse::Launched(instances) => {
                reservation_head(xml, instances.first().map(AsRef::as_ref), home);
                xml.items("instancesSet", instances, |xml, it| instance(xml, it));
            }
            ModelResponse::Instances(page) => {
                reservations(xml, &page.items, home);
                next_token(xml, page);
            }
            ModelResponse::Statuses(page) => {
                xml.items("instanceStatusSet", &page.items, status);
                next_token(xml, page);
            }
            ModelResponse::Changes(changes) => xml.items("instancesSet", changes, change),
            ModelResponse::Done => xml.text("return", "true"),
            ModelResponse::Tags(page) => {
                xml.items("tagSet", &page.items, tag_line);
                next_token(xml, page);
            }
            ModelResponse::SpotRequests(page) => {
                xml.items("spotInstanceRequestSet", &page.items, |xml, it| {
                    spot_request(xml, it);
                });
                next_token(xml, page);
            }
            ModelResponse::Regions(regions) => xml.items("regionInfo", regions, region),
            // The responses of other services, which have their own writers.
            _ => {}
        }
    });
    xml.finish()
}

/// The response to an action that failed.
fn render_error(error: &ModelError, request_id: &str) -> String {
    let mut xml = Xml::new();
    xml.element("Response", |xml| {
        xml.element("Errors", |xml| {
            xml.element("Error", |xml| {
                xml.text("Code", &error.code);
                xml.text("Message", &error.message);
            });
        });
        xml.text("RequestID", request_id);
    });
    xml.finish()
}

fn next_token<T>(xml: &mut Xml, page: &ResultPage<T>) {
    if let Some(token) = &page.next_token {
        xml.text("nextToken", token);
    }
}

/// Groups instances by reservation; a reservation can span several pages.
fn reservations(xml: &mut Xml, instances: &[Arc<Ec2Instance>], home: &Home) {
    let mut by_launch: BTreeMap<&str, Vec<&Ec2Instance>> = BTreeMap::new();
    for it in instances {
        by_launch.entry(&it.reservation).or_default().push(it);
    }
    xml.items("reservationSet", by_launch.values(), |xml, launch| {
        reservation_head(xml, launch.first().copied(), home);
        xml.items("instancesSet", launch, |xml, it| instance(xml, it));
    });
}

fn reservation_head(xml: &mut Xml, of: Option<&Ec2Instance>, home: &Home) {
    if let Some(of) = of {
        xml.text("reservationId", &of.reservation);
    }
    xml.text("ownerId", &home.account);
}

fn instance(xml: &mut Xml, it: &Ec2Instance) {
    xml.text("instanceId", it.id.as_str());
    xml.text("imageId", &it.image);
    match it.described_as {
        Some((name, code)) => state_as(xml, "instanceState", name, code),
        None => state(xml, "instanceState", it.state),
    }
    let host = it.private_ip.replace('.', "-");
    xml.text(
        "privateDnsName",
        &format!("ip-{host}.{}.compute.internal", it.home.region),
    );
    xml.text("dnsName", "");
    xml.text("reason", &it.transition_reason);
    xml.text("amiLaunchIndex", "0");
    xml.text("instanceType", &it.instance_type);
    xml.text("launchTime", &moment(it.launch_time));
    xml.element("placement", |xml| {
        xml.text("availabilityZone", &it.zone);
        xml.text("groupName", it.placement.group.as_deref().unwrap_or(""));
        let tenancy = it.placement.tenancy.as_deref();
        xml.text("tenancy", tenancy.unwrap_or("default"));
    });
    xml.element("monitoring", |xml| xml.text("state", "disabled"));
    xml.text("subnetId", &it.subnet());
    xml.text("vpcId", &it.vpc());
    xml.text("privateIpAddress", &it.private_ip);
    if let Some(reason) = &it.state_reason {
        xml.element("stateReason", |xml| {
            xml.text("code", &reason.code);
            xml.text("message", &reason.message);
        });
    }
    xml.text("architecture", ARCHITECTURE);
    xml.text("rootDeviceType", it.root.name());
    xml.text("rootDeviceName", "/dev/xvda");
    xml.text("virtualizationType", "hvm");
    xml.text("hypervisor", "xen");
    if let Some(spot) = &it.spot {
        xml.text("instanceLifecycle", "spot");
        xml.text("spotInstanceRequestId", &spot.id);
    }
    if !it.tags.is_empty() {
        xml.items("tagSet", &it.tags, |xml, (key, value)| {
            xml.text("key", key);
            xml.text("value", value);
        });
    }
    xml.element("hibernationOptions", |xml| {
        let configured = it.hibernation == HibernationOption::Configured;
        xml.text("configured", &configured.to_string());
    });
    xml.element("capacityReservationSpecification", |xml| {
        match &it.placement.reservation {
            None => xml.text("capacityReservationPreference", "open"),
            Some(id) => xml.element("capacityReservationTarget", |xml| {
                xml.text("capacityReservationId", id);
            }),
        }
    });
    xml.raw(&it.xml);
}

fn state(xml: &mut Xml, element: &str, state: Ec2InstanceState) {
    state_as(xml, element, state.name(), state.code());
}

fn state_as(xml: &mut Xml, element: &str, name: &str, code: u16) {
    xml.element(element, |xml| {
        xml.text("code", &code.to_string());
        xml.text("name", name);
    });
}

fn change(xml: &mut Xml, change: &InstanceStateChange) {
    xml.text("instanceId", change.id.as_str());
    state(xml, "currentState", change.current);
    state(xml, "previousState", change.previous);
}

fn status(xml: &mut Xml, health: &StatusChecks) {
    xml.text("instanceId", health.instance.id.as_str());
    xml.text("availabilityZone", &health.instance.zone);
    state(xml, "instanceState", health.instance.state);
    for name in ["systemStatus", "instanceStatus"] {
        xml.element(name, |xml| {
            xml.text("status", health.status);
            let reachability = match health.status {
                "ok" => "passed",
                "initializing" => "initializing",
                _ => return,
            };
            xml.items("details", [reachability], |xml, reachability| {
                xml.text("name", "reachability");
                xml.text("status", reachability);
            });
        });
    }
}

fn tag_line(xml: &mut Xml, line: &TagLine) {
    xml.text("resourceId", &line.resource);
    xml.text("resourceType", "instance");
    xml.text("key", &line.key);
    xml.text("value", &line.value);
}

fn spot_request(xml: &mut Xml, it: &Ec2Instance) {
    let Some(spot) = &it.spot else { return };
    xml.text("spotInstanceRequestId", &spot.id);
    xml.text("type", spot.kind.name());
    xml.text("state", spot.state);
    xml.element("status", |xml| {
        xml.text("code", spot.status);
        xml.text("updateTime", &moment(it.launch_time));
        xml.text("message", spot.status);
    });
    xml.text("instanceId", it.id.as_str());
    xml.text("createTime", &moment(spot.created));
    xml.text("productDescription", "Linux/UNIX");
    xml.text("launchedAvailabilityZone", &it.zone);
}

fn region(xml: &mut Xml, region: &RegionLine) {
    xml.text("regionName", &region.name);
    xml.text(
        "regionEndpoint",
        &format!("ec2.{}.amazonaws.com", region.name),
    );
    xml.text("optInStatus", region.opt_in);
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
