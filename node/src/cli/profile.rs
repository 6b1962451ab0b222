//! The profile: what a person would otherwise type with every command. And `cairn profile`.
//!
//! Flags win over `CAIRN_*` variables, which win over the profile, which wins over the defaults.

use std::{
    fmt, fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{Context, Output, print::Printed};
use crate::{
    exit::{ExitCode, Failure},
    keys,
};

/// Where a `cairn dev` listens.
const DEFAULT_URL: &str = "http://127.0.0.1:9984";

/// Larger than any profile; what is larger is something else.
const PROFILE_BYTES_MAX: u64 = 64 << 10;

/// Most validators that are tried in turn.
const URLS_MAX: usize = 32;

const EXAMPLE: &str = "\
The profile is ~/.config/cairn/profile.toml ($XDG_CONFIG_HOME counts), or what --profile or
CAIRN_PROFILE names. Paths in it are relative to it; all of it may be left out:
  urls = [\"https://ledger.alice.example:9984\", \"https://ledger.bob.example:9984\"]
  key = \"alice.key\"
  api_key = \"…\"
  ca = \"federation-ca.pem\"
  output = \"table\"

Flags win over CAIRN_URL, CAIRN_KEY, CAIRN_API_KEY, CAIRN_CA and CAIRN_OUTPUT, and these win over the profile.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what applies: flags, environment, profile and defaults together
    #[command(after_help = format!("{EXAMPLE}\n\nExample:\n  cairn profile show --url http://127.0.0.1:9994"))]
    Show {
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        connection: Connection,
    },
    /// Write a profile with the flags given; one that is there is not overwritten
    #[command(after_help = "Example:\n  \
        cairn profile init --url https://ledger.alice.example:9984 --key alice.key")]
    Init {
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        connection: Connection,
    },
}

/// A text that is not shown by accident.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Secret(pub(super) String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whom to ask, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// A validator's API; of several, the next is asked when one does not answer
    /// [default: http://127.0.0.1:9984]
    #[arg(long, env = "CAIRN_URL", value_name = "URL", value_delimiter = ',')]
    url: Vec<String>,
    /// The certificate authority to trust instead of the public ones, in PEM
    #[arg(long, env = "CAIRN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Says who is asking, where a validator wants to know; better set in the environment or in
    /// the profile than seen in a list of processes
    #[arg(long, env = "CAIRN_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<Secret>,
}

/// Who signs.
#[derive(Clone, Debug, Args)]
pub(super) struct Signer {
    /// Private key that signs; several where an output wants several owners
    #[arg(long, env = "CAIRN_KEY", value_name = "FILE", value_delimiter = ',')]
    key: Vec<PathBuf>,
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    urls: Vec<String>,
    key: Option<PathBuf>,
    api_key: Option<Secret>,
    ca: Option<PathBuf>,
    output: Option<String>,
}

/// A profile that was read; an empty one where there is none.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// Where it was found.
    path: Option<PathBuf>,
    urls: Vec<String>,
    key: Option<PathBuf>,
    api_key: Option<Secret>,
    ca: Option<PathBuf>,
    output: Option<Output>,
}

/// What applies to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// At least one, without a slash at the end.
    pub(super) urls: Vec<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) api_key: Option<Secret>,
}

impl Profile {
    /// Reads the profile that was named, or the usual one if it is there.
    pub(super) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        let usual = usual_path();
        let Some(path) = named.or(usual.as_deref()) else { return Ok(Self::default()) };
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let fail =
            |why: String| Failure::new(ExitCode::Config, format!("{}: {why}", path.display()));
        let unreadable = |error: std::io::Error| {
            fail(format!("cannot be read: {error}; cairn profile init makes a profile"))
        };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > PROFILE_BYTES_MAX {
            return Err(fail(format!("{size} bytes are no profile")));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path).map_err(fail)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message().trim())
        })?;
        let Written { urls, key, api_key, ca, output } = written;
        let output = match output.as_deref() {
            None => None,
            Some(word) => {
                Some(<Output as clap::ValueEnum>::from_str(word, false).map_err(|_| {
                    format!("output: {word:?}; \"table\" or \"json\" would be fine")
                })?)
            }
        };
        let urls = checked(urls).map_err(|why| format!("urls: {why}"))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let file = |written: PathBuf| base.join(written);
        Ok(Self {
            path: Some(path.to_owned()),
            urls,
            key: key.map(file),
            api_key,
            ca: ca.map(file),
            output,
        })
    }

    /// What the profile says about results.
    pub(super) fn output(&self) -> Option<Output> {
        self.output
    }

    /// Flags and environment over the profile over the default.
    pub(super) fn settings(&self, connection: &Connection) -> Result<Settings, Failure> {
        let given = connection.url.iter().filter(|url| !url.is_empty()).cloned().collect();
        let given =
            checked(given).map_err(|why| Failure::new(ExitCode::Usage, format!("--url: {why}")))?;
        let urls = match (given.is_empty(), self.urls.is_empty()) {
            (false, _) => given,
            (true, false) => self.urls.clone(),
            (true, true) => vec![DEFAULT_URL.to_owned()],
        };
        let Connection { url: _, ca, api_key } = connection;
        let api_key = api_key.clone().filter(|key| !key.0.is_empty());
        let api_key = api_key.or_else(|| self.api_key.clone());
        Ok(Settings { urls, ca: self.ca(ca.as_deref()), api_key })
    }

    /// The certificate authority that was named, or that of the profile.
    pub(super) fn ca(&self, named: Option<&Path>) -> Option<PathBuf> {
        let named = named.filter(|path| !path.as_os_str().is_empty());
        named.map(Path::to_owned).or_else(|| self.ca.clone())
    }

    /// The files of the keys that sign.
    pub(super) fn keys(&self, signer: &Signer) -> Result<Vec<PathBuf>, Failure> {
        let given: Vec<PathBuf> =
            signer.key.iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect();
        if !given.is_empty() {
            return Ok(given);
        }
        match &self.key {
            Some(file) => Ok(vec![file.clone()]),
            None => Err(Failure::new(
                ExitCode::Usage,
                "no key signs: --key FILE, CAIRN_KEY or `key` in the profile names one, and \
                 cairn key new --out FILE makes one",
            )),
        }
    }
}

/// `profile.toml` where the XDG base directory specification has it.
fn usual_path() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(directory.join("cairn/profile.toml"))
}

/// URLs without a slash at the end, or which of them is none and what one looks like.
fn checked(urls: Vec<String>) -> Result<Vec<String>, String> {
    if urls.len() > URLS_MAX {
        return Err(format!("{} are too many; at most {URLS_MAX} would be fine", urls.len()));
    }
    urls.into_iter().map(|url| checked_url(&url)).collect()
}

fn checked_url(url: &str) -> Result<String, String> {
    let url = url.trim_end_matches('/');
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let odd = |c: char| c.is_whitespace() || c.is_control() || "?#@\"<>\\".contains(c);
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') && !host.contains(odd) => {
            Ok(url.to_owned())
        }
        _ => {
            let shown: String = url.chars().take(80).collect();
            Err(format!("{shown:?} is not supported; one like {DEFAULT_URL} is fine"))
        }
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Printed, Failure> {
    match command {
        Command::Show { connection, signer } => show(context, connection, signer),
        Command::Init { connection, signer } => init(context, connection, signer),
    }
}

fn show(context: &Context, connection: &Connection, signer: &Signer) -> Result<Printed, Failure> {
    let profile = &context.profile;
    let Settings { urls, ca, api_key } = profile.settings(connection)?;
    let keys = profile.keys(signer).unwrap_or_default();
    let output = context.output.word();
    let path = |path: &Path| path.display().to_string();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let keys: Vec<String> = keys.iter().map(|key| path(key)).collect();
    let fields = [
        ("profile", or_none(profile.path.as_deref().map(path))),
        ("urls", urls.join(", ")),
        ("key", or_none((!keys.is_empty()).then(|| keys.join(", ")))),
        ("api key", if api_key.is_some() { "set" } else { "none" }.to_owned()),
        ("ca", ca.as_deref().map_or_else(|| "the public ones".to_owned(), path)),
        ("output", output.to_owned()),
    ];
    let json = json!({
        "profile": profile.path, "urls": urls, "keys": keys, "api_key": api_key.is_some(),
        "ca": ca, "output": output,
    });
    Ok(Printed::fields(&fields, json))
}

fn init(context: &Context, connection: &Connection, signer: &Signer) -> Result<Printed, Failure> {
    // What applies now is what is written: also what an older profile says, when another is named.
    let settings = context.profile.settings(connection)?;
    let path = context.profile_flag.clone().or_else(usual_path).ok_or_else(|| {
        Failure::new(ExitCode::Config, "there is no home directory; --profile FILE names a file")
    })?;
    let key = context.profile.keys(signer).ok().and_then(|keys| keys.into_iter().next());
    if let Some(key) = &key {
        keys::read(key)?;
    }
    let text = written_text(&settings, key.as_deref(), context.output)?;
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            ExitCode::Config,
            format!("{} exists and is not overwritten: edit it", path.display()),
        ),
        _ => Failure::new(ExitCode::Config, format!("cannot write {}: {error}", path.display())),
    };
    let write = || {
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        // It may hold an API key.
        let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        options?.write_all(text.as_bytes())
    };
    write().map_err(fail)?;
    let json = json!({ "profile": path, "urls": settings.urls });
    let fields = [("profile", path.display().to_string()), ("urls", settings.urls.join(", "))];
    Ok(Printed::fields(&fields, json))
}

fn written_text(
    settings: &Settings,
    key: Option<&Path>,
    output: Output,
) -> Result<String, Failure> {
    let Settings { urls, ca, api_key } = settings;
    // A profile lies elsewhere than where the flags were typed.
    let file = |path: &Path| {
        std::path::absolute(path).map(|path| path.display().to_string()).map_err(Failure::general)
    };
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let urls: Vec<String> = urls.iter().map(|url| quoted(url)).collect();
    let mut text = "# What cairn assumes when no flag and no CAIRN_* variable says otherwise.\n\
        # Validators, asked in turn:\n"
        .to_owned();
    text.push_str(&format!("urls = [{}]\n", urls.join(", ")));
    if let Some(key) = key {
        text.push_str(&format!("key = {}\n", quoted(&file(key)?)));
    }
    if let Some(Secret(api_key)) = api_key {
        text.push_str(&format!("api_key = {}\n", quoted(api_key)));
    }
    if let Some(ca) = ca {
        text.push_str(&format!("ca = {}\n", quoted(&file(ca)?)));
    }
    text.push_str(&format!("output = {}\n", quoted(output.word())));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Profile, String> {
        Profile::parse(text, Path::new("/home/alice/.config/cairn/profile.toml"))
    }

    fn flags(urls: &[&str]) -> Connection {
        let url = urls.iter().map(|url| (*url).to_owned()).collect();
        Connection { url, ca: None, api_key: None }
    }

    #[test]
    fn a_profile_is_read_field_by_field_and_may_be_empty() {
        let profile = parse(
            "urls = ['https://a.example:1/', 'http://b']\nkey = 'alice.key'\napi_key = 'k'\n\
             ca = '/ca.pem'\noutput = 'json'\n",
        )
        .unwrap();
        let settings = profile.settings(&flags(&[])).unwrap();
        assert_eq!(settings.urls, ["https://a.example:1", "http://b"]);
        assert_eq!(settings.ca, Some("/ca.pem".into()));
        assert_eq!(settings.api_key, Some(Secret("k".to_owned())));
        let keys = profile.keys(&Signer { key: Vec::new() }).unwrap();
        assert_eq!(keys, [Path::new("/home/alice/.config/cairn/alice.key")]);
        assert_eq!(profile.output(), Some(Output::Json));
        assert!(!format!("{profile:?}").contains("\"k\""), "secrets stay out of logs");

        let empty = parse("").unwrap();
        assert_eq!(empty.settings(&flags(&[])).unwrap().urls, [DEFAULT_URL]);
        assert_eq!(empty.settings(&flags(&["", "http://c/"])).unwrap().urls, ["http://c"]);
        assert!(empty.keys(&Signer { key: Vec::new() }).unwrap_err().message.contains("--key"));
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_field() {
        #[rustfmt::skip]
        let table = [
            ("colour = 'red'",              "colour",        "unknown"),
            ("urls = 'http://a'",           "line 1",        "one URL is no list"),
            ("urls = ['a.example']",        "http://127",    "no scheme"),
            ("urls = ['http://']",          "urls",          "no host"),
            ("urls = ['http://u@a']",       "urls",          "a user"),
            ("urls = ['http://a b']",       "urls",          "a space"),
            ("output = 'yaml'",             "\"table\"",     "no such format"),
        ];
        for (text, named, why) in table {
            let error = parse(text).unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
        }
        assert!(checked(vec!["http://a".to_owned(); 33]).is_err(), "too many");
    }

    #[test]
    fn what_init_writes_is_read_back() {
        let settings = Settings {
            urls: vec!["https://a:1".to_owned(), "http://b".to_owned()],
            ca: Some("/x/ca.pem".into()),
            api_key: Some(Secret("with \"quotes\"".to_owned())),
        };
        let text = written_text(&settings, Some(Path::new("/x/a.key")), Output::Json).unwrap();
        let profile = parse(&text).unwrap();
        assert_eq!(profile.settings(&flags(&[])).unwrap(), settings);
        assert_eq!(profile.key.as_deref(), Some(Path::new("/x/a.key")));
        assert_eq!(profile.output(), Some(Output::Json));
    }
}
