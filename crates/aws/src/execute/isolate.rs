//! Finds the instances that caused the refusal of a batch.
//!
//! EC2 refuses a call because of one instance, and often names it: then that instance fails and the rest is sent again.
//! Otherwise, and if more than a few are bad, the batch is halved. A *lineage* is all batches split from one. If a lineage
//! has been refused again and none of its instances was accepted, some randomly chosen instances are tried alone: if all are
//! refused, the rest fails without a call. Otherwise an action that is not permitted at all would cost two calls for each
//! instance, at every pass.

use std::collections::HashSet;

use super::{Batch, BatchCall, BatchEnd, Execution, QueuePosition};
use crate::error::CloudError;

/// The number of instances tried alone. With eight, a batch of which half is bad is hardly ever given up, and one of which
/// nine tenths are bad in four of ten cases; the next pass tries others. More cost more calls when nothing is permitted.
const PROBES: usize = 8;

/// The number of instances named by EC2 that are removed one by one; a batch with more of them is halved.
const NAMED: usize = 3;

/// The lineages of all batches.
#[derive(Debug, Default)]
pub(super) struct BatchLineage(Vec<Lineage>);

#[derive(Debug, Default)]
struct Lineage {
    refusals: usize,
    accepted: bool,
    given_up: bool,
    probing: Option<Probing>,
}

#[derive(Debug)]
struct Probing {
    /// The number of single members with a pending result.
    open: usize,
    refused: usize,
    /// The batches that wait for the result.
    waiting: Vec<Batch>,
}

impl BatchLineage {
    /// Starts a lineage, and returns its index.
    pub(super) fn start(&mut self) -> usize {
        self.0.push(Lineage::default());
        self.0.len() - 1
    }
}

impl Execution<'_> {
    /// Splits a batch that was refused because of some of its members.
    pub(super) fn isolate(&mut self, batch: &Batch, error: &CloudError) {
        if batch.members.len() == 1 {
            self.fail(batch, &batch.members, error);
            self.on_end(batch, BatchEnd::Refused(error));
            return;
        }
        let (named, rest) = self.named(batch, error);
        self.fail(batch, &named, error);
        let lineage = &mut self.lineages.0[batch.lineage];
        lineage.refusals += 1;
        let given_up = lineage.given_up || self.breaker.refused_altogether(&batch.call).is_some();
        if given_up || !self.breaker.may_isolate(&batch.call) {
            self.fail(batch, &rest, &error.inferred());
            self.on_end(batch, BatchEnd::Refused(error));
            return;
        }
        let limit = if named.is_empty() { 1 } else { NAMED };
        let early = lineage.refusals <= limit;
        if batch.pool.is_none() && !early && !lineage.accepted {
            if let Some(probing) = &mut lineage.probing {
                probing.waiting.push(batch.with_members(rest));
                return;
            }
            if rest.len() > PROBES {
                self.probe(batch, rest);
                return;
            }
        }
        let parts = if early && !named.is_empty() {
            vec![batch.with_members(rest)]
        } else {
            batch.halves(&rest)
        };
        let position = self.queue_position(&batch.call);
        self.replace(batch, parts, position);
    }

    /// Tries a few members alone; the rest waits for the result.
    fn probe(&mut self, batch: &Batch, mut members: Vec<usize>) {
        fastrand::shuffle(&mut members);
        let rest = members.split_off(PROBES);
        self.lineages.0[batch.lineage].probing = Some(Probing {
            open: PROBES,
            refused: 0,
            waiting: vec![batch.with_members(rest)],
        });
        let mut probes: Vec<Batch> = members
            .into_iter()
            .map(|member| batch.with_members(vec![member]))
            .collect();
        for probe in &mut probes {
            probe.probe = true;
        }
        let position = self.queue_position(&batch.call);
        self.replace(batch, probes, position);
    }

    /// Updates the lineage of a batch that ended.
    pub(super) fn update_lineage(&mut self, batch: &Batch, end: BatchEnd<'_>) {
        let lineage = &mut self.lineages.0[batch.lineage];
        lineage.accepted |= matches!(end, BatchEnd::Accepted);
        if !batch.probe {
            return;
        }
        let Some(probing) = &mut lineage.probing else {
            return;
        };
        probing.open -= 1;
        probing.refused += usize::from(matches!(end, BatchEnd::Refused(_)));
        if probing.open > 0 {
            return;
        }
        let all_refused = probing.refused == PROBES && !lineage.accepted;
        lineage.given_up = all_refused;
        let waiting = lineage.probing.take().map(|probing| probing.waiting);
        for part in waiting.unwrap_or_default() {
            match end {
                BatchEnd::Refused(error) if all_refused => {
                    self.breaker.trip(&part.call, &error.inferred());
                    self.fail(&part, &part.members, &error.inferred());
                }
                _ => {
                    let position = self.queue_position(&part.call);
                    let halves = part.halves(&part.members);
                    self.replace(&part, halves, position);
                }
            }
        }
    }

    /// Until an instance was accepted, the parts of a refused batch go first: they show whether any can be.
    fn queue_position(&self, call: &BatchCall) -> QueuePosition {
        if self.breaker.has_accepted(call) {
            QueuePosition::Last
        } else {
            QueuePosition::Next
        }
    }

    /// Splits a batch into the instances that the refusal names and the others. A refusal that names all of them gives no
    /// information.
    fn named(&self, batch: &Batch, error: &CloudError) -> (Vec<usize>, Vec<usize>) {
        let words = words(&error.message);
        let (named, rest): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| words.contains(self.steps[**member].instance.as_str()));
        if rest.is_empty() {
            (Vec::new(), named)
        } else {
            (named, rest)
        }
    }
}

/// The words of EC2's message, including the characters of ids, types and zones.
pub(super) fn words(message: &str) -> HashSet<&str> {
    message
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))
        .map(|word| word.trim_matches('.'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn ids_types_and_zones_are_found_in_ec2s_messages() {
        for (message, word) in [
            (
                "The instance IDs 'i-0123456789abcdef0, i-0123456789abcdef1' do not exist",
                "i-0123456789abcdef1",
            ),
            (
                "not authorized to perform: ec2:StopInstances on resource: \
                 arn:aws:ec2:eu-west-3:123456789012:instance/i-0123456789abcdef0 because no",
                "i-0123456789abcdef0",
            ),
            (
                "sufficient m5.large capacity in the Availability Zone you requested (eu-west-3a).",
                "eu-west-3a",
            ),
            ("do not have sufficient m5.large.", "m5.large"),
        ] {
            assert!(words(message).contains(word), "{message}");
        }
        assert!(!words("sufficient m5.xlarge capacity").contains("m5.large"));
    }
}
