//! Drops the parts of `DescribeInstances` responses that Curfew does not read.
//!
//! EC2 describes an instance in some 9 kB, of which Curfew reads a fifth. The SDK copies all of it, which for a thousand
//! instances took nine tenths of a response's time (docs/contribute/performance.md). So unread elements are dropped while the response
//! arrives; the rest is passed to the SDK unchanged.
//!
//! The filter supports only a subset of XML: at the first unsupported construct (an attribute, a comment, CDATA, an unmatched
//! end tag) it passes on everything after it. Only complete elements are dropped, so a truncated response stays truncated.

#[cfg(test)]
mod tests;

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::{Body, Frame};
use memchr::memchr;

/// Filters the responses of a call.
#[derive(Debug)]
pub(super) struct ResponseFilter;

impl Intercept for ResponseFilter {
    fn name(&self) -> &'static str {
        "ResponseFilter"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        // Errors are short, and read completely.
        if response.status().is_success() {
            let inner = mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(FilteredBody {
                inner,
                filter: Some(XmlFilter::default()),
            });
        }
        Ok(())
    }
}

/// A response body that is filtered as it arrives.
struct FilteredBody {
    inner: SdkBody,
    /// None after the end of the body.
    filter: Option<XmlFilter>,
}

impl Body for FilteredBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Self { inner, filter } = &mut *self;
            let Some(active) = filter else {
                return Poll::Ready(None);
            };
            let mut kept = Vec::new();
            if let Some(frame) = ready!(Pin::new(inner).poll_frame(context)) {
                match frame?.into_data() {
                    Ok(data) => active.take(&data, &mut kept),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                }
            } else {
                active.end(&mut kept);
                *filter = None;
            }
            // A frame may be dropped completely; an empty one would signal the end.
            if !kept.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(kept.into()))));
            }
        }
    }
}

/// The path from the document to the instances:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
const PATH: [Children; 6] = [
    Children::All(Some("DescribeInstancesResponse")),
    Children::All(Some("reservationSet")),
    Children::All(Some("item")),
    Children::Only(RESERVATION_ELEMENTS, Some("instancesSet")),
    Children::All(Some("item")),
    Children::Only(INSTANCE_ELEMENTS, None),
];

/// EC2's names of the elements that [`DescribedInstance::of`](super::described_instance::DescribedInstance::of) reads in an
/// instance. The filter drops all others.
const INSTANCE_ELEMENTS: &[&str] = &[
    "instanceId",
    "instanceState",
    "instanceType",
    "instanceLifecycle",
    "spotInstanceRequestId",
    "launchTime",
    "placement",
    "capacityReservationId",
    "capacityReservationSpecification",
    "operator",
    "rootDeviceType",
    "hibernationOptions",
    "reason",
    "stateReason",
    "tagSet",
];

/// The elements that it reads in the enclosing reservation.
const RESERVATION_ELEMENTS: &[&str] = &["ownerId"];

/// The children of an element that are kept.
#[derive(Clone, Copy)]
enum Children {
    /// All; the filter descends into the one of this name.
    All(Option<&'static str>),
    /// These; the filter descends into the one of this other name.
    Only(&'static [&'static str], Option<&'static str>),
}

impl Children {
    fn disposition(self, name: &[u8]) -> Disposition {
        let is = |read: &str| read.as_bytes() == name;
        match self {
            Self::All(Some(inside)) | Self::Only(_, Some(inside)) if is(inside) => {
                Disposition::Descend
            }
            Self::Only(names, _) if !names.iter().any(|read| is(read)) => Disposition::Drop,
            Self::All(_) | Self::Only(..) => Disposition::Kept,
        }
    }
}

/// What the filter does with an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disposition {
    /// Decides for each of its children.
    Descend,
    Kept,
    Drop,
}

/// The state of filtering one response.
#[derive(Default)]
struct XmlFilter {
    /// The input that is neither passed on nor dropped yet.
    held: Vec<u8>,
    /// The end of the part of `held` that is passed on or dropped.
    settled: usize,
    /// The end of the part of `held` that is parsed: the end of a tag.
    understood: usize,
    /// The end of the part of `held` that was searched for the next tag.
    searched: usize,
    open: OpenElements,
    /// How many of the open elements the filter has descended into, from the root.
    looked_into: usize,
    /// The disposition of the open element below those, with all its content; none between such elements.
    disposition: Option<Disposition>,
    /// Whether all further input is passed on, after an unsupported construct.
    verbatim: bool,
}

/// A construct that the filter does not support.
struct NotUnderstood;

impl XmlFilter {
    /// Filters the next part of a response, and appends to `kept` what the SDK is to read.
    fn take(&mut self, part: &[u8], kept: &mut Vec<u8>) {
        if self.verbatim {
            return kept.extend_from_slice(part);
        }
        self.held.extend_from_slice(part);
        loop {
            match self.next_tag(kept) {
                Ok(true) => {}
                Ok(false) => break,
                Err(NotUnderstood) => {
                    self.verbatim = true;
                    return self.end(kept);
                }
            }
        }
        if self.disposition != Some(Disposition::Drop) {
            self.give_on(self.understood, kept);
        }
        self.held.drain(..self.settled);
        self.understood -= self.settled;
        self.searched -= self.settled;
        self.settled = 0;
    }

    /// Ends a response: passes on the held input, which is incomplete.
    fn end(&mut self, kept: &mut Vec<u8>) {
        self.give_on(self.held.len(), kept);
        self.held = Vec::new();
        self.settled = 0;
    }

    fn give_on(&mut self, until: usize, kept: &mut Vec<u8>) {
        kept.extend_from_slice(&self.held[self.settled..until]);
        self.settled = until;
    }

    /// Parses the next tag and the text before it; false if it is not complete.
    fn next_tag(&mut self, kept: &mut Vec<u8>) -> Result<bool, NotUnderstood> {
        let Some(start) = find(b'<', &self.held, self.searched) else {
            self.searched = self.held.len();
            return Ok(false);
        };
        self.searched = start;
        let Some(end) = find(b'>', &self.held, start) else {
            return Ok(false);
        };
        if self.disposition.is_none() {
            // Between elements without text there is only white space.
            let between = &self.held[self.understood..start];
            if !between.iter().all(u8::is_ascii_whitespace) {
                return Err(NotUnderstood);
            }
            self.give_on(self.understood, kept);
            self.settled = start;
        }
        let next = end + 1;
        let left_out = match &self.held[start + 1..end] {
            [b'/', name @ ..] => {
                self.open.close(name.trim_ascii_end())?;
                self.closed()
            }
            [b'?', b'x', b'm', b'l', b' ', .., b'?'] if self.open.is_empty() => false,
            [name @ .., b'/'] => {
                let name = name_in(name, self.open.is_empty())?;
                // An empty element has no content to descend into.
                self.disposition.is_none()
                    && PATH[self.looked_into].disposition(name) == Disposition::Drop
            }
            name => {
                let name = name_in(name, self.open.is_empty())?;
                if self.disposition.is_none() {
                    match PATH[self.looked_into].disposition(name) {
                        Disposition::Descend => self.looked_into += 1,
                        disposition => self.disposition = Some(disposition),
                    }
                }
                self.open.push(name);
                false
            }
        };
        if left_out {
            self.settled = next;
        }
        self.understood = next;
        self.searched = next;
        Ok(true)
    }

    /// Handles the end of an element; returns whether the element is dropped.
    fn closed(&mut self) -> bool {
        let open = self.open.len();
        if open < self.looked_into {
            self.looked_into = open;
        } else if open == self.looked_into {
            return self.disposition.take() == Some(Disposition::Drop);
        }
        false
    }
}

fn find(byte: u8, within: &[u8], from: usize) -> Option<usize> {
    memchr(byte, &within[from..]).map(|at| from + at)
}

/// The name in a start tag without attributes; the root may have its namespace as an attribute.
fn name_in(tag: &[u8], is_root: bool) -> Result<&[u8], NotUnderstood> {
    let tag = tag.trim_ascii_end();
    let name = match tag.iter().position(|byte| *byte == b' ') {
        Some(space) if is_root && is_namespace(&tag[space..]) => &tag[..space],
        Some(_) => return Err(NotUnderstood),
        None => tag,
    };
    let begins_well = name.first().is_some_and(u8::is_ascii_alphabetic);
    // No colon: prefixes are not supported.
    if begins_well && name.iter().all(u8::is_ascii_alphanumeric) {
        Ok(name)
    } else {
        Err(NotUnderstood)
    }
}

fn is_namespace(attribute: &[u8]) -> bool {
    let value = attribute
        .strip_prefix(b" xmlns=\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    value.is_some_and(|value| !value.iter().any(|byte| b"\"<&".contains(byte)))
}

/// The names of the open elements, starting with the root.
#[derive(Default)]
struct OpenElements {
    /// The concatenated names.
    names: Vec<u8>,
    /// The index at which each name begins.
    begins: Vec<usize>,
}

impl OpenElements {
    fn len(&self) -> usize {
        self.begins.len()
    }

    fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    fn push(&mut self, name: &[u8]) {
        self.begins.push(self.names.len());
        self.names.extend_from_slice(name);
    }

    /// Closes the innermost element; fails if its name is another.
    fn close(&mut self, name: &[u8]) -> Result<(), NotUnderstood> {
        match self.begins.last() {
            Some(&begin) if &self.names[begin..] == name => {
                self.names.truncate(begin);
                self.begins.pop();
                Ok(())
            }
            _ => Err(NotUnderstood),
        }
    }
}
