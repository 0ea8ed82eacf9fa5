//! `curfew run` as a service: a service manager's socket, signals, and changes of the configuration file.

mod daemon;

use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_core::state_tags::LAST_TAG;
use curfew_model::{
    ApiAction, Ec2InstanceId, Ec2InstanceState, Home, Launch, Model, QueueAttributes,
    Service as Aws,
};
use daemon::{Ec2, Service, SilentServer};
use jiff::SignedDuration;
use rustix::process::Signal;

/// A window without edges, in which instances run at all times.
const ALWAYS: &str = "running = 'Mon-Sun 00:00-24:00'";

fn configuration(timetable: &str) -> String {
    format!(
        "[schedules.office]\ntimezone = 'UTC'\n{timetable}\n[daemon]\ndriver = 'daemon'\npoll = '1s'\nmetrics = '127.0.0.1:0'\n"
    )
}

/// A timetable whose only edge of the day, a stop, was two minutes ago.
fn stopped_just_now() -> String {
    let edge = Clock::system().now() - SignedDuration::from_mins(2);
    format!("stop = '{}'", edge.strftime("%M %H * * *"))
}

/// A running instance to which the newest edge was applied an hour ago.
fn fleet() -> (Model, Ec2InstanceId) {
    let now = Clock::system().now();
    let ec2 = Model::new(now);
    let last = format!(
        "{:.0} start schedule office",
        now - SignedDuration::from_hours(1)
    );
    let web = ec2.launch(
        Launch::new("web")
            .tag("Schedule", "office")
            .tag(LAST_TAG, &last)
            .launched_at(now - SignedDuration::from_hours(1)),
    );
    (ec2, web)
}

#[test]
fn it_is_ready_after_the_first_pass_and_a_sighup_reloads_without_missing_an_edge() {
    let (model, web) = fleet();
    let ec2 = Ec2::serve(&model);
    let service = Service::start(&ec2.endpoint, &configuration(ALWAYS), None);
    let before = service.wait_for_message("READY=1");
    assert!(
        before
            .iter()
            .any(|news| news.contains("STATUS=not ready: ")),
        "{before:?}"
    );
    service.wait_for_message("1 instance managed; configuration 1");

    service.configuration(&configuration(&stopped_just_now()));
    service.signal(Signal::HUP);
    let reloading = service
        .wait_for_message("RELOADING=1\nMONOTONIC_USEC=")
        .pop()
        .unwrap();
    let usec = reloading.rsplit_once('=').unwrap().1;
    assert!(usec.parse::<u64>().unwrap() > 0, "{reloading}");
    service.wait_for_message("READY=1");
    service.eventually("the edge of the new configuration is applied", || {
        model.state(&web) != Ec2InstanceState::Running
    });
    service.wait_for_message("configuration 2");

    service.signal(Signal::TERM);
    service.wait_for_message("STOPPING=1");
    assert_eq!(service.wait_for_exit(), Some(0));
}

#[test]
fn an_invalid_file_is_reported_and_a_valid_one_is_applied_without_a_signal() {
    let (model, web) = fleet();
    let ec2 = Ec2::serve(&model);
    let service = Service::start(&ec2.endpoint, &configuration(ALWAYS), None);
    service.wait_for_message("READY=1");

    service.configuration(&configuration("runing = 'Mon-Fri 08:00-20:00'"));
    let status = service
        .wait_for_message("configuration 1 stays in force: ")
        .pop()
        .unwrap();
    assert!(status.contains("did you mean `running`?"), "{status}");
    assert!(service.log().contains("keeping the previous one"));
    assert_eq!(model.state(&web), Ec2InstanceState::Running);

    service.configuration(&configuration(&format!(
        "{}\nexcept = ['holidays.ics']",
        stopped_just_now()
    )));
    service.wait_for_message("holidays.ics` can't be read");
    service.write(
        "holidays.ics",
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:t\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n\
         DTSTART;VALUE=DATE:20200101\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    service.eventually("the edge of the good configuration is applied", || {
        model.state(&web) != Ec2InstanceState::Running
    });
    service.wait_for_message("configuration 2");
    service.signal(Signal::INT);
    assert_eq!(service.wait_for_exit(), Some(0));
}

#[test]
fn changes_that_need_a_restart_are_named_and_the_rest_is_applied() {
    let (model, _) = fleet();
    let ec2 = Ec2::serve(&model);
    let service = Service::start(&ec2.endpoint, &configuration(ALWAYS), None);
    service.wait_for_message("READY=1");
    let text = configuration(ALWAYS).replace("'daemon'", "'cloud'");
    service.configuration(&format!(
        "{text}grace = '7m'\n[[notify]]\ntype = 'webhook'\nurl = 'http://127.0.0.1:9/x'\n"
    ));
    service.wait_for_message("configuration 2");
    let log = service.log();
    let warning = log
        .lines()
        .find(|line| line.contains("changed keys need a restart"));
    assert!(
        warning.is_some_and(|line| line.contains("keys=\"notify, daemon.driver\"")),
        "{log}"
    );
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(0));
}

#[test]
fn the_watchdog_is_notified() {
    let (model, _) = fleet();
    let ec2 = Ec2::serve(&model);
    let often = Some(Duration::from_millis(200));
    let service = Service::start(&ec2.endpoint, &configuration(ALWAYS), often);
    for _ in 0..5 {
        service.wait_for_message("WATCHDOG=1");
    }
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(0));
}

#[test]
fn without_ec2_it_is_not_ready_and_a_second_signal_aborts() {
    let silent = SilentServer::listen();
    let service = Service::start(&silent.endpoint, &configuration(ALWAYS), None);
    silent.accept();
    service.signal(Signal::TERM);
    let before = service.wait_for_message("STATUS=finishing: ");
    assert!(
        before.last().unwrap().contains("reconcile"),
        "{before:?}: its pass hangs"
    );
    assert!(before.iter().all(|news| !news.contains("READY=1")));
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(130));
}

#[test]
fn readiness_and_metrics_are_served() {
    let (model, _) = fleet();
    let ec2 = Ec2::serve(&model);
    let service = Service::start(&ec2.endpoint, &configuration(ALWAYS), None);
    service.wait_for_message("READY=1");
    service.eventually("it is ready", || {
        service.get("/readyz") == (200, "ready\n".to_owned())
    });
    assert_eq!(service.get("/healthz"), (200, "alive\n".to_owned()));
    let (status, metrics) = service.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "# TYPE curfew_edge_latency_seconds histogram",
        "curfew_ready 1",
        "curfew_managed_instances 1",
        "curfew_configuration_generation 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
    assert_eq!(service.get("/").0, 404);

    let silent = SilentServer::listen();
    let waiting = Service::start(&silent.endpoint, &configuration(ALWAYS), None);
    silent.accept();
    let (status, why) = waiting.get("/readyz");
    assert_eq!(status, 503);
    assert!(
        why.lines().any(|line| line == "no pass has run yet"),
        "{why}"
    );
}

#[test]
fn a_metrics_port_in_use_is_logged_once_and_the_daemon_continues() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (model, _) = fleet();
    let ec2 = Ec2::serve(&model);
    let text = configuration(ALWAYS).replace("127.0.0.1:0", &address.to_string());
    let service = Service::start(&ec2.endpoint, &text, None);
    service.wait_for_message("READY=1");
    service.eventually("the failure is logged", || {
        service
            .log()
            .contains("metrics endpoint unavailable; continuing without it")
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(0));
    let log = service.log();
    assert_eq!(
        log.matches("metrics endpoint unavailable").count(),
        1,
        "{log}"
    );
    assert!(log.contains(&address.to_string()), "{log}");
}

#[test]
fn dead_letters_are_counted_only_with_a_stack() {
    let (model, _) = fleet();
    let ec2 = Ec2::serve(&model);
    let service = Service::start(&ec2.endpoint, &configuration(ALWAYS), None);
    service.wait_for_message("READY=1");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(0));
    let of_queues = |model: &Model| {
        let calls = model.calls();
        let actions = calls.iter().filter_map(|call| ApiAction::named(&call.name));
        actions
            .filter(|action| action.service() == Aws::Sqs)
            .count()
    };
    assert_eq!(of_queues(&model), 0, "the daemon drives: it has no queues");

    let cloud = configuration(ALWAYS).replace("'daemon'", "'cloud'\nqueue = 'off'");
    let service = Service::start(&ec2.endpoint, &cloud, None);
    service.eventually("three queues were requested", || of_queues(&model) >= 3);
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(0));
    let log = service.log();
    assert!(!log.contains("dead letters"), "{log}");
    assert_eq!(model.calls_of(ApiAction::GetQueueAttributes).len(), 0);

    let home = Home::new("000000000000", "us-east-1");
    let name = "curfew-curfew-undone-work.fifo";
    let queue = model.create_queue(&home, name, QueueAttributes::default());
    model.send(&queue, "a pass");
    let service = Service::start(&ec2.endpoint, &cloud, None);
    service.eventually("the dead letter is logged", || {
        let log = service.log();
        log.lines()
            .any(|line| line.contains("dead letters found") && line.contains(name))
    });
    let (status, text) = service.get("/metrics");
    let line = format!("curfew_dead_letters{{queue=\"{name}\"}} 1");
    assert!(status == 200 && text.contains(&line), "{text}");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(), Some(0));
}
