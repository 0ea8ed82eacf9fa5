//! Whose credentials count, against the model of EC2 and STS: it takes a key of twelve digits for its account's, and `curfew doctor`
//! tells which account that is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::commands::cloud::{Cloud, Told};

const OF_ENVIRONMENT: &str = "111111111111";
const OF_PROFILE: &str = "222222222222";

/// A person with a home, in which the AWS files are.
struct Person {
    cloud: Cloud,
    home: tempfile::TempDir,
}

impl Person {
    fn new(config: &str) -> Self {
        let cloud = Cloud::with([]);
        let file = cloud.directory.path().join("curfew.toml");
        fs::write(file, "[daemon]\ndriver = \"daemon\"\nmetrics = \"\"\n").unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        let person = Self { cloud, home };
        person.write(".aws/config", config);
        person
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn doctor(&self, more: &[&str]) -> Command {
        let mut command = self.cloud.curfew(&[&["doctor"], more].concat());
        command.env("HOME", self.home.path());
        command
    }

    /// The same for AWS itself: only for what ends before a call is made.
    fn at_aws(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
        command
            .env_clear()
            .current_dir(self.cloud.directory.path())
            .env("HOME", self.home.path())
            .env("CURFEW__DAEMON__STATE_DIR", self.home.path())
            .args(["--config", "curfew.toml", "--region", "eu-west-3", "doctor"])
            .args(more);
        command
    }

    /// What the doctor says of the credentials.
    fn credentials(&self, command: &mut Command) -> String {
        let told = Told::of(command.output().unwrap());
        let home = self.home.path().to_str().unwrap();
        let lines = told.stdout.lines();
        let line = lines.skip_while(|line| !line.contains("credentials  "));
        let line: Vec<&str> = line.take(1).collect();
        assert_eq!(line.len(), 1, "{told:?}");
        line[0].replace(home, "~")
    }
}

fn keys(account: &str) -> String {
    format!("aws_access_key_id = {account}\naws_secret_access_key = secret\n")
}

fn with_keys(command: &mut Command) -> &mut Command {
    let keys = [
        ("AWS_ACCESS_KEY_ID", OF_ENVIRONMENT),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    command.envs(keys)
}

#[test]
fn a_profile_that_is_named_goes_before_keys_in_the_environment_and_one_that_is_not_behind_them() {
    let person = Person::new(&format!("[profile ops]\n{}", keys(OF_PROFILE)));
    let of = |account: &str, source: &str| {
        format!(
            "ok    credentials    arn:aws:iam::{account}:user/curfew, account {account}, from {source}"
        )
    };
    let profile = "the profile `ops` (`~/.aws/config`, `~/.aws/credentials`)";
    let environment = "the environment (AWS_ACCESS_KEY_ID)";

    let mut named = person.doctor(&["--profile", "ops"]);
    assert_eq!(
        person.credentials(with_keys(&mut named)),
        of(OF_PROFILE, profile)
    );
    // The configuration names it likewise.
    let mut set = person.doctor(&[]);
    set.env("CURFEW__AWS__PROFILE", "ops");
    assert_eq!(
        person.credentials(with_keys(&mut set)),
        of(OF_PROFILE, profile)
    );
    let mut variable = person.doctor(&[]);
    variable.env("AWS_PROFILE", "ops");
    let told = person.credentials(with_keys(&mut variable));
    assert_eq!(told, of(OF_ENVIRONMENT, environment));
    let told = person.credentials(with_keys(&mut person.doctor(&[])));
    assert_eq!(told, of(OF_ENVIRONMENT, environment));
}

#[test]
fn a_profile_that_is_not_there_is_an_error_that_names_those_that_are() {
    let person =
        Person::new("[profile ops]\nregion = eu-west-3\n[profile dev]\nregion = eu-west-3\n");
    let home = person.home.path().to_str().unwrap();
    let refused = |mut command: Command| {
        let told = Told::of(with_keys(&mut command).output().unwrap());
        let expected = "error: there is no profile `opps` in `~/.aws/config` and `~/.aws/credentials`: there is `dev`, `ops`\n";
        assert_eq!(
            (told.code, told.stderr.replace(home, "~").as_str()),
            (2, expected)
        );
    };
    refused(person.doctor(&["--profile", "opps"]));
    let mut at_aws = person.at_aws(&[]);
    at_aws.env("AWS_PROFILE", "opps");
    refused(at_aws);
    // An emulator needs none, and is not in the way of who tries Curfew out.
    let told = person.credentials(person.doctor(&[]).env("AWS_PROFILE", "opps"));
    assert!(told.starts_with("ok    credentials  "), "{told}");
    // It is there and has no keys: nothing else is looked at in its place.
    let told = person.credentials(with_keys(&mut person.doctor(&["--profile", "ops"])));
    assert!(told.starts_with("fail  credentials  "), "{told}");
    assert!(
        told.contains("the profile `ops` (`~/.aws/config`"),
        "{told}"
    );
}

#[test]
fn a_process_a_login_and_a_single_sign_on_give_credentials() {
    const SESSION: &str = "arn:aws:iam::222222222222:user/alice";
    // In a century: neither is renewed.
    const EXPIRES: &str = "2126-01-01T00:00:00Z";
    let person = Person::new("");
    let script = person.write(
        "keys",
        &format!(
            "#!/bin/sh\necho '{{\"Version\":1,\"AccessKeyId\":\"{OF_PROFILE}\",\"SecretAccessKey\":\"secret\"}}'\n"
        ),
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let digest = Sha256::digest(SESSION);
    let name = digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    person.write(
        &format!(".aws/login/cache/{name}.json"),
        &format!(
            "{{\"accessToken\":{{\"accessKeyId\":\"{OF_PROFILE}\",\"secretAccessKey\":\"secret\",\"sessionToken\":\"token\",\
             \"accountId\":\"{OF_PROFILE}\",\"expiresAt\":\"{EXPIRES}\"}},\"tokenType\":\"urn:aws:params:oauth:token-type:access_token_sigv4\",\
             \"refreshToken\":\"refresh\",\"clientId\":\"client\",\"dpopKey\":\"unused\"}}"
        ),
    );
    // The name is the SHA-1 of the session's name, `curfew`.
    person.write(
        ".aws/sso/cache/fbdb1805206101b17255a3a1300ee257baa93e3f.json",
        &format!("{{\"accessToken\":\"token\",\"expiresAt\":\"{EXPIRES}\"}}"),
    );
    let portal = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = portal.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = portal.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let body = format!(
            "{{\"roleCredentials\":{{\"accessKeyId\":\"{OF_PROFILE}\",\"secretAccessKey\":\"secret\",\"sessionToken\":\"token\",\
             \"expiration\":4922899200000}}}}"
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    person.write(
        ".aws/config",
        &format!(
            "[profile process]\ncredential_process = {}\n\
             [profile login]\nlogin_session = {SESSION}\n\
             [profile sso]\nsso_session = curfew\nsso_account_id = {OF_PROFILE}\nsso_role_name = operator\n\
             [sso-session curfew]\nsso_region = eu-west-3\nsso_start_url = https://curfew.example/start\n",
            script.display()
        ),
    );
    for profile in ["process", "login", "sso"] {
        let mut command = person.doctor(&["--profile", profile]);
        command.env("AWS_ENDPOINT_URL_SSO", format!("http://{address}"));
        let told = person.credentials(&mut command);
        let expected = format!("ok    credentials    arn:aws:iam::{OF_PROFILE}:user/curfew");
        assert!(told.starts_with(&expected), "{profile}: {told}");
        assert!(
            told.contains(&format!("from the profile `{profile}`")),
            "{told}"
        );
    }
    let head = asked.join().unwrap();
    assert!(head.starts_with("GET /federation/credentials?"), "{head}");
}

/// Accepts connections and answers none.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// What the doctor says of credentials for AWS itself, without any, and how long it took.
fn without_keys(person: &Person, metadata: &str, more: &[&str]) -> (String, Duration) {
    let mut command = person.at_aws(more);
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata);
    let began = Instant::now();
    let told = person.credentials(&mut command);
    (told, began.elapsed())
}

/// A second for the metadata service; the others are a busy machine's.
const PATIENCE: Duration = Duration::from_secs(4);

#[test]
fn a_metadata_service_that_does_not_answer_costs_a_second_and_is_not_blamed_for_a_profile() {
    let person = Person::new(
        "[profile ops]\nregion = eu-west-3\n[profile broken]\ncredential_process = false\n",
    );
    let (listener, silent) = silent();
    let refusing = "http://127.0.0.1:1";
    for metadata in [silent.as_str(), refusing] {
        let (told, took) = without_keys(&person, metadata, &[]);
        assert!(told.starts_with("fail  credentials  "), "{told}");
        // Everything that was looked at, in its order.
        let mut rest = told.as_str();
        for source in [
            "the environment (AWS_ACCESS_KEY_ID) has none",
            "the profile `default` (`~/.aws/config`, `~/.aws/credentials`) has none",
            "the instance's role (IMDS) has none",
        ] {
            let at = rest
                .find(source)
                .unwrap_or_else(|| panic!("no {source} in {told}"));
            rest = &rest[at..];
        }
        assert!(took < PATIENCE, "{took:?}");
    }
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    for profile in ["ops", "broken"] {
        let (told, took) = without_keys(&person, &silent, &["--profile", profile]);
        assert!(told.starts_with("fail  credentials  "), "{told}");
        assert!(told.contains(&format!("the profile `{profile}`")), "{told}");
        assert!(!told.contains("IMDS"), "{told}");
        assert!(took < PATIENCE, "{took:?}");
    }
    // An emulator has none, either.
    let mut at_an_emulator = person.doctor(&[]);
    at_an_emulator.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &silent);
    let told = person.credentials(&mut at_an_emulator);
    assert!(
        told.ends_with(", from nowhere: an emulator takes any keys"),
        "{told}"
    );
    let error = listener.accept().unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::WouldBlock,
        "nobody asked it"
    );
}

#[test]
fn a_pipe_in_the_place_of_an_aws_file_is_not_waited_for() {
    let person = Person::new("");
    let pipe = person.home.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for variable in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        let mut command = person.doctor(&[]);
        let told = Told::of(command.env(variable, &pipe).output().unwrap());
        assert_eq!(told.code, 2, "{told:?}");
        assert!(
            told.stderr
                .contains("pipe` can't be read\n  because: it is a pipe"),
            "{told:?}"
        );
        // The usual way to say "none".
        let mut command = person.doctor(&[]);
        let told = person.credentials(command.env(variable, "/dev/null"));
        assert!(told.starts_with("ok    credentials  "), "{told}");
    }
}
