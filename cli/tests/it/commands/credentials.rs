//! Precedence of AWS credentials, against the model of EC2 and STS: the model takes an access key of twelve digits for the
//! account, and `curfew doctor` prints that account.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::commands::cloud::{Cloud, CommandResult};

const OF_ENVIRONMENT: &str = "111111111111";
const OF_PROFILE: &str = "222222222222";

/// A home directory with AWS configuration files.
struct AwsHome {
    cloud: Cloud,
    home: tempfile::TempDir,
}

impl AwsHome {
    fn new(config: &str) -> Self {
        let cloud = Cloud::with([]);
        let file = cloud.directory.path().join("curfew.toml");
        fs::write(file, "[daemon]\ndriver = \"daemon\"\nmetrics = \"\"\n").unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        let aws = Self { cloud, home };
        aws.write(".aws/config", config);
        aws
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

    /// `curfew doctor` without an endpoint, for commands that end before any call.
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

    /// The doctor's line about the credentials.
    fn credentials(&self, command: &mut Command) -> String {
        let output = CommandResult::of(command.output().unwrap());
        let home = self.home.path().to_str().unwrap();
        let lines = output.stdout.lines();
        let line = lines.skip_while(|line| !line.contains("credentials  "));
        let line: Vec<&str> = line.take(1).collect();
        assert_eq!(line.len(), 1, "{output:?}");
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
fn a_named_profile_precedes_environment_keys_and_aws_profile_follows_them() {
    let aws = AwsHome::new(&format!("[profile ops]\n{}", keys(OF_PROFILE)));
    let of = |account: &str, source: &str| {
        format!(
            "ok    credentials    arn:aws:iam::{account}:user/curfew, account {account}, from {source}"
        )
    };
    let profile = "the profile `ops` (`~/.aws/config`, `~/.aws/credentials`)";
    let environment = "the environment (AWS_ACCESS_KEY_ID)";

    let mut named = aws.doctor(&["--profile", "ops"]);
    assert_eq!(
        aws.credentials(with_keys(&mut named)),
        of(OF_PROFILE, profile)
    );
    // The configuration can name the profile, too.
    let mut set = aws.doctor(&[]);
    set.env("CURFEW__AWS__PROFILE", "ops");
    assert_eq!(
        aws.credentials(with_keys(&mut set)),
        of(OF_PROFILE, profile)
    );
    let mut variable = aws.doctor(&[]);
    variable.env("AWS_PROFILE", "ops");
    let output = aws.credentials(with_keys(&mut variable));
    assert_eq!(output, of(OF_ENVIRONMENT, environment));
    let output = aws.credentials(with_keys(&mut aws.doctor(&[])));
    assert_eq!(output, of(OF_ENVIRONMENT, environment));
}

#[test]
fn a_missing_profile_is_an_error_that_lists_the_profiles() {
    let aws =
        AwsHome::new("[profile ops]\nregion = eu-west-3\n[profile dev]\nregion = eu-west-3\n");
    let home = aws.home.path().to_str().unwrap();
    let refused = |mut command: Command| {
        let output = CommandResult::of(with_keys(&mut command).output().unwrap());
        let expected = "error: there is no profile `opps` in `~/.aws/config` and `~/.aws/credentials`: there is `dev`, `ops`\n";
        assert_eq!(
            (output.code, output.stderr.replace(home, "~").as_str()),
            (2, expected)
        );
    };
    refused(aws.doctor(&["--profile", "opps"]));
    let mut at_aws = aws.at_aws(&[]);
    at_aws.env("AWS_PROFILE", "opps");
    refused(at_aws);
    // An emulator needs no profile, so a missing one is no error there.
    let output = aws.credentials(aws.doctor(&[]).env("AWS_PROFILE", "opps"));
    assert!(output.starts_with("ok    credentials  "), "{output}");
    // The profile exists without keys: no other source is tried.
    let output = aws.credentials(with_keys(&mut aws.doctor(&["--profile", "ops"])));
    assert!(output.starts_with("fail  credentials  "), "{output}");
    assert!(
        output.contains("the profile `ops` (`~/.aws/config`"),
        "{output}"
    );
}

#[test]
fn credentials_come_from_a_process_a_login_or_single_sign_on() {
    const SESSION: &str = "arn:aws:iam::222222222222:user/alice";
    // Expires in a century, so neither is renewed.
    const EXPIRES: &str = "2126-01-01T00:00:00Z";
    let aws = AwsHome::new("");
    let script = aws.write(
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
    aws.write(
        &format!(".aws/login/cache/{name}.json"),
        &format!(
            "{{\"accessToken\":{{\"accessKeyId\":\"{OF_PROFILE}\",\"secretAccessKey\":\"secret\",\"sessionToken\":\"token\",\
             \"accountId\":\"{OF_PROFILE}\",\"expiresAt\":\"{EXPIRES}\"}},\"tokenType\":\"urn:aws:params:oauth:token-type:access_token_sigv4\",\
             \"refreshToken\":\"refresh\",\"clientId\":\"client\",\"dpopKey\":\"unused\"}}"
        ),
    );
    // The name is the SHA-1 of the session's name, `curfew`.
    aws.write(
        ".aws/sso/cache/fbdb1805206101b17255a3a1300ee257baa93e3f.json",
        &format!("{{\"accessToken\":\"token\",\"expiresAt\":\"{EXPIRES}\"}}"),
    );
    let portal = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = portal.local_addr().unwrap();
    let request = std::thread::spawn(move || {
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
    aws.write(
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
        let mut command = aws.doctor(&["--profile", profile]);
        command.env("AWS_ENDPOINT_URL_SSO", format!("http://{address}"));
        let output = aws.credentials(&mut command);
        let expected = format!("ok    credentials    arn:aws:iam::{OF_PROFILE}:user/curfew");
        assert!(output.starts_with(&expected), "{profile}: {output}");
        assert!(
            output.contains(&format!("from the profile `{profile}`")),
            "{output}"
        );
    }
    let head = request.join().unwrap();
    assert!(head.starts_with("GET /federation/credentials?"), "{head}");
}

/// Returns a listener that accepts connections and never responds, and its URL.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The doctor's line about credentials for AWS when there are none, and the time it took.
fn without_keys(aws: &AwsHome, metadata: &str, more: &[&str]) -> (String, Duration) {
    let mut command = aws.at_aws(more);
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata);
    let began = Instant::now();
    let output = aws.credentials(&mut command);
    (output, began.elapsed())
}

/// One second for the metadata service; the rest allows for a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(4);

#[test]
fn a_silent_metadata_service_costs_a_second_and_is_not_tried_for_a_profile() {
    let aws = AwsHome::new(
        "[profile ops]\nregion = eu-west-3\n[profile broken]\ncredential_process = false\n",
    );
    let (listener, silent) = silent();
    let refusing = "http://127.0.0.1:1";
    for metadata in [silent.as_str(), refusing] {
        let (output, took) = without_keys(&aws, metadata, &[]);
        assert!(output.starts_with("fail  credentials  "), "{output}");
        // Every source that was tried, in order.
        let mut rest = output.as_str();
        for source in [
            "the environment (AWS_ACCESS_KEY_ID) has none",
            "the profile `default` (`~/.aws/config`, `~/.aws/credentials`) has none",
            "the instance's role (IMDS) has none",
        ] {
            let at = rest
                .find(source)
                .unwrap_or_else(|| panic!("no {source} in {output}"));
            rest = &rest[at..];
        }
        assert!(took < TIME_LIMIT, "{took:?}");
    }
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    for profile in ["ops", "broken"] {
        let (output, took) = without_keys(&aws, &silent, &["--profile", profile]);
        assert!(output.starts_with("fail  credentials  "), "{output}");
        assert!(
            output.contains(&format!("the profile `{profile}`")),
            "{output}"
        );
        assert!(!output.contains("IMDS"), "{output}");
        assert!(took < TIME_LIMIT, "{took:?}");
    }
    // For an emulator the metadata service is not tried, either.
    let mut at_an_emulator = aws.doctor(&[]);
    at_an_emulator.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &silent);
    let output = aws.credentials(&mut at_an_emulator);
    assert!(
        output.ends_with(", from nowhere: an emulator takes any keys"),
        "{output}"
    );
    let error = listener.accept().unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::WouldBlock,
        "no request to the metadata service"
    );
}

#[test]
fn a_pipe_in_place_of_an_aws_file_is_refused() {
    let aws = AwsHome::new("");
    let pipe = aws.home.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for variable in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        let mut command = aws.doctor(&[]);
        let output = CommandResult::of(command.env(variable, &pipe).output().unwrap());
        assert_eq!(output.code, 2, "{output:?}");
        assert!(
            output
                .stderr
                .contains("pipe` can't be read\n  because: it is a pipe"),
            "{output:?}"
        );
        // `/dev/null` is the usual way to disable a file.
        let mut command = aws.doctor(&[]);
        let output = aws.credentials(command.env(variable, "/dev/null"));
        assert!(output.starts_with("ok    credentials  "), "{output}");
    }
}
