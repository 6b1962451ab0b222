//! `cairn-operator render`: every object that would be written for a cluster, without one to write to.
//! For reading before an installation and for comparing after a change; the operator is who applies them,
//! each when it is its turn.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use cairn_ledger::genesis::Genesis;
use kube::Resource;
use serde_json::Value;

use crate::{
    check::Checked,
    crd::BlockchainCluster,
    manifest::Manifest,
    objects::{belonging, claim, config, genesis, stateful_set, surroundings},
};

/// More than any BlockchainCluster or genesis document has, so that a wrong file ends quickly.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Prints every object that would be written for a cluster, as YAML.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File with one BlockchainCluster, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// Genesis document: shows the cluster as it is after its founding
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Image of validators when the cluster names none
    #[arg(long, env = "CAIRN_DEFAULT_IMAGE", default_value = concat!("cairn:", env!("CARGO_PKG_VERSION")))]
    default_image: String,
}

impl Arguments {
    /// The text to print.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub fn run(&self) -> Result<String, String> {
        let text = read(&self.filename)?;
        let named = |error: &dyn std::fmt::Display| {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default().to_owned();
            format!("{}: {first}", shown(&self.filename))
        };
        let cluster = parse(&text).map_err(|error| named(&error))?;
        let document = self.genesis.as_deref().map(|path| {
            Genesis::from_json(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
        });
        let text = render(&cluster, document.transpose()?, &self.default_image);
        text.map_err(|error| named(&error))
    }
}

/// A BlockchainCluster as people write it.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn parse(text: &str) -> Result<BlockchainCluster, String> {
    // By way of JSON, as the API server does it: Kubernetes' types do not know YAML.
    let value: serde_json::Value =
        serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let wanted = (BlockchainCluster::api_version(&()), BlockchainCluster::kind(&()));
    let found = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    if (found("apiVersion").as_str(), found("kind").as_str()) != (&*wanted.0, &*wanted.1) {
        return Err(format!(
            "it holds a {:?} of {:?}, a {} of {} is fine",
            found("kind"),
            found("apiVersion"),
            wanted.1,
            wanted.0
        ));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Every manifest of a cluster, in the order in which they would first be applied.
#[must_use]
pub fn manifests(checked: &Checked) -> Vec<Manifest> {
    let mut all = surroundings(checked);
    all.extend(checked.genesis.as_ref().map(|document| genesis(checked, document)));
    for validator in belonging(checked) {
        all.push(config(checked, validator));
        all.push(claim(checked, validator));
        all.push(stateful_set(checked, validator));
    }
    all.sort_by(|a, b| (a.kind.rank(), &a.name).cmp(&(b.kind.rank(), &b.name)));
    all
}

/// The manifests as YAML documents.
///
/// # Errors
/// What could not be written as YAML.
pub fn render(
    cluster: &BlockchainCluster,
    genesis: Option<Genesis>,
    image: &str,
) -> Result<String, String> {
    let checked = Checked::assumed(cluster, genesis, image);
    let mut text = String::new();
    for mut manifest in manifests(&checked) {
        // Whoever applied an object of an owner that does not exist would see it collected as garbage.
        if checked.uid.is_empty()
            && let Some(metadata) = manifest.value["metadata"].as_object_mut()
        {
            metadata.remove("ownerReferences");
        }
        let document = document(&manifest.value);
        text.push_str("---\n");
        text.push_str(&document.map_err(|error| format!("{}: {error}", manifest.name))?);
    }
    Ok(text)
}

/// What it is first, then what it is called, then what it says.
fn document(value: &Value) -> Result<String, serde_saphyr::ser::Error> {
    const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];
    let fields = value.as_object().into_iter().flatten();
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(9));
    let mut text = String::new();
    for (key, value) in fields {
        text.push_str(serde_saphyr::to_string(&BTreeMap::from([(key, value)]))?.trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// How a file is called towards people.
fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<String, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", shown(path));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| fail(&error))?;
    Ok(text)
}
