//! The journal in its own file; `buffered/tests.rs` has the failures of that file.

use curfew_core::transition::TransitionSource;

use super::*;

pub(super) fn transition(at: &str) -> Transition {
    Transition {
        kind: curfew_core::instance::ResourceKind::Instance,
        instance: "i-0abc1234def567890".parse().unwrap(),
        name: Some("web".into()),
        from: InstanceState::Running,
        to: InstanceState::Stopped,
        at: at.parse().unwrap(),
        cause: "schedule office".parse().unwrap(),
        schedule: Some("office".parse().unwrap()),
        region: Region::new("eu-west-3"),
        account: AccountId::new("123456789012"),
        edge: Some("2026-11-23T19:00:00Z".parse().unwrap()),
        source: TransitionSource::Event,
        actor: None,
        instance_type: Some("t3.micro".into()),
    }
}

pub(super) fn record(at: &str) -> TransitionRecord {
    let known_state = {
        let Transition {
            name,
            region,
            account,
            ..
        } = transition(at);
        let state = InstanceState::Stopped;
        KnownState {
            state,
            name,
            region,
            account,
            last: None,
            launched_at: None,
            cause: None,
            since: None,
            schedule: None,
            instance_type: None,
        }
    };
    let transition = transition(at);
    TransitionRecord {
        instance: transition.instance.clone(),
        transition: Some(transition),
        event: None,
        known_state: Some(known_state),
    }
}

#[test]
fn records_persist_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let entries = journal.record(&[record("2026-11-23T19:00:01Z")]).unwrap();
    drop(journal);
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(journal.history(&HistoryFilter::default()).unwrap(), entries);
    assert_eq!(journal.known_states().unwrap().len(), 1);
}

#[test]
fn the_same_transition_is_recorded_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    assert_eq!(
        journal
            .record(&[record("2026-11-23T19:00:01Z")])
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        journal.record(&[record("2026-11-23T19:00:01Z")]).unwrap(),
        []
    );
    assert_eq!(journal.history(&HistoryFilter::default()).unwrap().len(), 1);
}

#[test]
fn on_a_full_disk_no_record_is_written_until_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let limit = |journal: &Journal, pages: u32| {
        let pragma = ("max_page_count", pages);
        journal
            .connection
            .pragma_update(None, pragma.0, pragma.1)
            .unwrap();
    };
    // No smaller than it is: as if the disk had no room for another page.
    limit(&journal, 1);
    let records: Vec<TransitionRecord> = (0..100)
        .map(|n| record(&format!("2026-11-23T19:{:02}:{:02}Z", n / 60, n % 60)))
        .collect();
    let error = journal.record(&records).unwrap_err();
    assert!(error.to_string().ends_with("can't be written"), "{error}");
    assert_eq!(journal.history(&HistoryFilter::default()).unwrap(), []);

    limit(&journal, 1_000_000);
    assert_eq!(journal.record(&records).unwrap().len(), 100);
}

#[test]
fn history_is_limited_to_the_newest_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    // With and without a fraction: as plain text, `…:01Z` would sort after `…:01.5Z`.
    let times = [
        "2026-11-23T19:00:01Z",
        "2026-11-23T19:00:01.5Z",
        "2026-11-23T19:00:02Z",
    ];
    for at in [times[2], times[0], times[1]] {
        journal.record(&[record(at)]).unwrap();
    }
    let at = |entries: Vec<JournalEntry>| {
        entries
            .iter()
            .map(|entry| entry.transition.at.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        at(journal.history(&HistoryFilter::default()).unwrap()),
        times
    );
    assert_eq!(
        at(journal
            .history(&HistoryFilter {
                limit: Some(2),
                ..HistoryFilter::default()
            })
            .unwrap()),
        times[1..]
    );
    let since = Some("2026-11-23T19:00:01.2Z".parse().unwrap());
    assert_eq!(
        at(journal
            .history(&HistoryFilter {
                since,
                ..HistoryFilter::default()
            })
            .unwrap()),
        times[1..]
    );
}

#[test]
fn a_reader_needs_a_journal_and_can_read_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        Journal::read(directory.path()),
        Err(JournalError::Missing { .. })
    ));
    let mut writer = Journal::open(directory.path()).unwrap();
    let reader = Journal::read(directory.path()).unwrap();
    writer.record(&[record("2026-11-23T19:00:01Z")]).unwrap();
    assert_eq!(reader.history(&HistoryFilter::default()).unwrap().len(), 1);
}

#[test]
fn a_newer_journal_is_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    journal
        .connection
        .pragma_update(None, "user_version", 99)
        .unwrap();
    drop(journal);
    assert!(matches!(
        Journal::open(directory.path()),
        Err(JournalError::TooNew { found: 99, .. })
    ));
}

pub(super) fn followed(edge: &str) -> EdgeRecord {
    let edge: Timestamp = edge.parse().unwrap();
    EdgeRecord {
        kind: curfew_core::instance::ResourceKind::Instance,
        edge,
        instance: "i-0abc1234def567890".parse().unwrap(),
        name: Some("web".into()),
        action: curfew_core::timetable::Action::Stop,
        cause: "schedule office".parse().unwrap(),
        schedule: Some("office".parse().unwrap()),
        outcome: EdgeOutcome::InTime,
        at: edge + SignedDuration::from_secs(5),
        region: Region::new("eu-west-3"),
        account: AccountId::new("123456789012"),
    }
}

/// The rows of a journal of the first version.
const FIRST: &str = "
    INSERT INTO transitions (instance, name, from_state, to_state, at, cause, schedule, region, account, edge) VALUES
        ('i-0abc1234def567890', 'web', 'running', 'stopping', '2026-11-23T19:00:01.000000000Z', 'schedule office', 'office',
         'eu-west-3', '123456789012', '2026-11-23T19:00:00.000000000Z'),
        ('i-0abc1234def567890', 'web', 'stopping', 'stopped', '2026-11-23T19:00:31.500000000Z', 'schedule office', 'office',
         'eu-west-3', '123456789012', NULL);
    INSERT INTO sightings (instance, sighting) VALUES
        ('i-0abc1234def567890', '{\"state\":\"stopped\",\"name\":\"web\",\"region\":\"eu-west-3\",
          \"account\":\"123456789012\",\"last\":null,\"launched_at\":null,\"cause\":null}'),
        ('i-00000000000000002', '{\"state\":\"running\",\"name\":null,\"region\":\"eu-west-3\",
          \"account\":\"123456789012\",\"last\":null,\"launched_at\":\"2026-11-02T15:00:00Z\",\"cause\":\"outside\"}');
";

/// The rows of a journal of the second version.
const SECOND: &str = "
    INSERT INTO transitions (instance, name, from_state, to_state, at, cause, schedule, region, account, edge, evidence, by_whom,
                             instance_type, event) VALUES
        ('i-0abc1234def567890', 'web', 'running', 'stopping', '2026-11-23T19:00:01.000000000Z', 'schedule office', 'office',
         'eu-west-3', '123456789012', '2026-11-23T19:00:00.000000000Z', 'event', NULL, 't3.micro', '7bf73129'),
        ('i-0abc1234def567890', 'web', 'stopping', 'stopped', '2026-11-23T19:00:31.500000000Z', 'schedule office', 'office',
         'eu-west-3', '123456789012', NULL, 'look', NULL, 't3.micro', NULL);
    INSERT INTO sightings (instance, sighting) VALUES
        ('i-0abc1234def567890', '{\"state\":\"stopped\",\"name\":\"web\",\"region\":\"eu-west-3\",
          \"account\":\"123456789012\",\"last\":null,\"launched_at\":null,\"cause\":null,\"since\":null,
          \"schedule\":\"office\",\"instance_type\":\"t3.micro\"}'),
        ('i-00000000000000002', '{\"state\":\"running\",\"name\":null,\"region\":\"eu-west-3\",
          \"account\":\"123456789012\",\"last\":null,\"launched_at\":\"2026-11-02T15:00:00Z\",\"cause\":\"outside\",
          \"since\":\"2026-11-02T15:00:00Z\",\"schedule\":null,\"instance_type\":\"t3.micro\"}');
    INSERT INTO beginnings (instance, name, state, at, schedule, instance_type, region, account) VALUES
        ('i-0abc1234def567890', 'web', 'running', '2026-11-23T19:00:01.000000000Z', 'office', 't3.micro', 'eu-west-3',
         '123456789012'),
        ('i-00000000000000002', NULL, 'running', '2026-11-02T15:00:00.000000000Z', NULL, 't3.micro', 'eu-west-3', '123456789012');
    INSERT INTO watched (account, region, begun, ended) VALUES
        ('123456789012', 'eu-west-3', '2026-11-02T15:00:00.000000000Z', '2026-11-23T19:00:31.500000000Z');
";

/// The additional tables of the third version.
const EDGES: &str = "
    INSERT INTO edges (edge, instance, name, action, cause, schedule, outcome, at, region, account) VALUES
        ('2026-11-23T19:00:00.000000000Z', 'i-0abc1234def567890', 'web', 'stop', 'schedule office', 'office', 'in_time',
         '2026-11-23T19:00:05.000000000Z', 'eu-west-3', '123456789012');
";

/// Journals in the formats of older versions, each with data.
const OLDER: [&[&str]; 3] = [&[FIRST], &[SECOND], &[SECOND, EDGES]];

#[test]
fn a_journal_that_is_being_created_is_missing_or_complete() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| drop(Journal::open(path).unwrap()));
            let mut finished = false;
            loop {
                match Journal::read(path) {
                    Ok(_) => break,
                    Err(JournalError::Missing { .. }) if !finished => {
                        finished = writer.is_finished();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
}

#[test]
fn a_journal_of_every_older_version_is_migrated_with_its_data() {
    assert_eq!(
        OLDER.len() + 1,
        migrations::MIGRATIONS.len(),
        "a new version needs a journal of the one before it here"
    );
    for (version, rows) in (1..).zip(OLDER) {
        let directory = tempfile::tempdir().unwrap();
        let older = Connection::open(directory.path().join(FILE)).unwrap();
        for migration in &migrations::MIGRATIONS[..version] {
            older.execute_batch(migration).unwrap();
        }
        for rows in rows {
            older.execute_batch(rows).unwrap();
        }
        let number = u32::try_from(version).unwrap();
        older.pragma_update(None, "user_version", number).unwrap();
        drop(older);
        assert!(matches!(
            Journal::read(directory.path()),
            Err(JournalError::TooOld { .. })
        ));

        let journal = Journal::open(directory.path()).unwrap();
        let entries = journal.history(&HistoryFilter::default()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].transition.to, InstanceState::Stopping);
        assert_eq!(entries[1].number, 2);
        assert_eq!(entries[1].transition.source, TransitionSource::Poll);
        let known_states = journal.known_states().unwrap();
        assert_eq!(known_states.len(), 2);
        let beginnings = journal.initial_states().unwrap();
        let states: Vec<_> = beginnings.iter().map(|one| one.state).collect();
        assert_eq!(
            states,
            [InstanceState::Running, InstanceState::Running],
            "before its first change, and as it was last observed"
        );
        assert_eq!(
            beginnings[1].at,
            "2026-11-23T19:00:01Z".parse().unwrap(),
            "the first change is where its record begins"
        );
        assert_eq!(
            journal.coverage_intervals().unwrap().len(),
            usize::from(version > 1),
            "the first version has no coverage"
        );
        let edges = journal.edges(&HistoryFilter::default()).unwrap();
        assert_eq!(edges.len(), usize::from(version > 2));
        drop(journal);
        let mut journal = Journal::open(directory.path()).unwrap();
        let edge = followed("2026-11-24T19:00:00Z");
        journal.record_edges(std::slice::from_ref(&edge)).unwrap();
        let edges = Journal::read(directory.path())
            .unwrap()
            .edges(&HistoryFilter::default())
            .unwrap();
        assert!(edges.iter().any(|one| one.record == edge));
    }
}

#[test]
fn filters_combine_and_instances_are_found_by_id_or_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let mut add = |at: &str, change: &dyn Fn(&mut Transition)| {
        let mut record = record(at);
        change(record.transition.as_mut().unwrap());
        journal.record(&[record]).unwrap();
    };
    add("2026-11-23T19:00:01Z", &|_| {});
    add("2026-11-23T19:00:02Z", &|it| {
        it.cause = "override by alice".parse().unwrap();
    });
    add("2026-11-23T19:00:03Z", &|it| {
        it.cause = "override by bob".parse().unwrap();
    });
    add("2026-11-23T19:00:04Z", &|it| it.to = InstanceState::Running);
    add("2026-11-23T19:00:05Z", &|it| it.schedule = None);
    add("2026-11-23T19:00:06Z", &|it| {
        it.instance = "i-00000000000000002".parse().unwrap();
        it.name = Some("' OR 1=1 --".into());
    });
    let seconds = |filter: HistoryFilter| -> Vec<i8> {
        let entries = journal.history(&filter).unwrap();
        let at = entries
            .iter()
            .map(|entry| entry.transition.at.to_zoned(jiff::tz::TimeZone::UTC));
        at.map(|at| at.second()).collect()
    };
    let all = HistoryFilter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        seconds(HistoryFilter {
            cause: text("override"),
            ..all()
        }),
        [2, 3]
    );
    assert_eq!(
        seconds(HistoryFilter {
            cause: text("override by bob"),
            ..all()
        }),
        [3]
    );
    assert_eq!(
        seconds(HistoryFilter {
            cause: text("schedule"),
            ..all()
        }),
        [1, 4, 5, 6]
    );
    assert_eq!(
        seconds(HistoryFilter {
            cause: text("external"),
            ..all()
        }),
        [0; 0]
    );
    assert_eq!(
        seconds(HistoryFilter {
            to: Some(InstanceState::Running),
            ..all()
        }),
        [4]
    );
    let office = Some("office".parse().unwrap());
    assert_eq!(
        seconds(HistoryFilter {
            schedule: office,
            ..all()
        }),
        [1, 2, 3, 4, 6]
    );
    let until = Some("2026-11-23T19:00:03Z".parse().unwrap());
    let since = Some("2026-11-23T19:00:02Z".parse().unwrap());
    assert_eq!(
        seconds(HistoryFilter {
            since,
            until,
            ..all()
        }),
        [2]
    );
    let which = |which: &[&str]| HistoryFilter {
        instances: which.iter().map(|&which| which.to_owned()).collect(),
        ..all()
    };
    assert_eq!(seconds(which(&["i-00000000000000002"])), [6]);
    assert_eq!(seconds(which(&["' OR 1=1 --", "nobody"])), [6]);
    assert_eq!(
        seconds(which(&["web", "i-00000000000000002"])),
        [1, 2, 3, 4, 5, 6]
    );
    let both = HistoryFilter {
        cause: text("override"),
        limit: Some(1),
        ..which(&["web"])
    };
    assert_eq!(seconds(both), [3], "the newest of them");
}

#[test]
fn an_event_is_recorded_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let reported = |at: &str| TransitionRecord {
        event: Some("7bf73129".into()),
        ..record(at)
    };
    assert_eq!(
        journal
            .record(&[reported("2026-11-23T19:00:01Z")])
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        journal.record(&[reported("2026-11-23T19:00:02Z")]).unwrap(),
        []
    );
    let asked = ["7bf73129".to_owned(), "other".to_owned()];
    let known = journal.events(&asked).unwrap();
    assert_eq!(known, HashSet::from(["7bf73129".to_owned()]));
    assert!(
        journal
            .has_events_since("2026-11-23T19:00:00Z".parse().unwrap())
            .unwrap()
    );
    assert!(
        !journal
            .has_events_since("2026-11-23T20:00:00Z".parse().unwrap())
            .unwrap()
    );
}

#[test]
fn a_principal_is_added_only_to_the_transition_that_followed_its_call() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let outside = |at: &str| {
        let mut record = record(at);
        record.transition.as_mut().unwrap().cause = "external".parse().unwrap();
        record
    };
    let records = [
        outside("2026-11-23T19:00:00Z"),
        outside("2026-11-23T19:00:30Z"),
        record("2026-11-23T19:00:31Z"),
        outside("2026-11-23T19:02:00Z"),
    ];
    journal.record(&records).unwrap();
    let attribute = Attribution {
        instance: records[0].instance.clone(),
        to: &[InstanceState::Stopping, InstanceState::Stopped],
        at: "2026-11-23T19:00:29Z".parse().unwrap(),
        by: "arn:aws:iam::123456789012:user/alice".into(),
    };
    journal.attribute(&[attribute]).unwrap();
    let entries = journal.history(&HistoryFilter::default()).unwrap();
    let named: Vec<bool> = entries
        .iter()
        .map(|entry| entry.transition.actor.is_some())
        .collect();
    assert_eq!(named, [false, true, false, false]);
}

#[test]
fn pruning_removes_old_transitions_and_the_record_begins_with_the_state_at_the_cutoff() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let mut first = record("2026-11-20T08:00:00Z");
    first.transition = None;
    let known_state = first.known_state.as_mut().unwrap();
    known_state.state = InstanceState::Running;
    known_state.since = Some("2026-11-20T08:00:00Z".parse().unwrap());
    let mut gone = record("2026-11-21T12:00:00Z");
    gone.instance = "i-00000000000000002".parse().unwrap();
    let it = gone.transition.as_mut().unwrap();
    (it.instance, it.to) = (gone.instance.clone(), InstanceState::Terminated);
    gone.known_state = None;
    let records = [
        first,
        record("2026-11-21T19:00:00Z"),
        gone,
        record("2026-11-23T19:00:00Z"),
    ];
    journal.record(&records).unwrap();
    let place = |at: &str| CoverageObservation {
        account: AccountId::new("123456789012"),
        region: Region::new("eu-west-3"),
        at: at.parse().unwrap(),
        bridges: SignedDuration::from_hours(48),
    };
    for at in [
        "2026-11-18T08:00:00Z",
        "2026-11-21T08:00:00Z",
        "2026-11-23T00:00:00Z",
    ] {
        journal.record_coverage(&[place(at)]).unwrap();
    }
    let edges = ["2026-11-21T23:00:00Z", "2026-11-22T00:00:00Z"].map(followed);
    journal.record_edges(&edges).unwrap();
    let cutoff: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    assert_eq!(journal.prune(cutoff).unwrap(), 2);
    assert_eq!(journal.prune(cutoff).unwrap(), 0);
    let left = journal.history(&HistoryFilter::default()).unwrap();
    assert_eq!(left.len(), 1);
    let beginnings = journal.initial_states().unwrap();
    assert_eq!(beginnings.len(), 1, "who is gone has no record any more");
    assert_eq!(
        (beginnings[0].state, beginnings[0].at),
        (InstanceState::Stopped, cutoff)
    );
    let stretches = journal.coverage_intervals().unwrap();
    assert_eq!(stretches.len(), 1, "the older one ended before");
    assert_eq!(stretches[0].begun, cutoff);
    let left = journal.edges(&HistoryFilter::default()).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].record, edges[1]);
}

#[test]
fn observations_join_into_intervals_until_one_is_too_late() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let mut observe = |at: &str, bridges: i64| {
        let watch = CoverageObservation {
            account: AccountId::new("123456789012"),
            region: Region::new("eu-west-3"),
            at: format!("2026-11-23T{at}Z").parse().unwrap(),
            bridges: SignedDuration::from_mins(bridges),
        };
        journal.record_coverage(&[watch]).unwrap();
        let stretches = journal.coverage_intervals().unwrap();
        let times = stretches.iter().map(|one| (one.begun, one.ended));
        let shown = times.map(|(begun, ended)| {
            let minutes = |at: Timestamp| at.strftime("%H:%M").to_string();
            format!("{}-{}", minutes(begun), minutes(ended))
        });
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(observe("08:00:00", 10), "08:00-08:00");
    assert_eq!(observe("08:10:00", 10), "08:00-08:10");
    assert_eq!(
        observe("08:05:00", 10),
        "08:00-08:10",
        "the clock was set back"
    );
    assert_eq!(observe("08:21:00", 10), "08:00-08:10 08:21-08:21");
    assert_eq!(observe("09:00:00", 60), "08:00-08:10 08:21-09:00");
}
