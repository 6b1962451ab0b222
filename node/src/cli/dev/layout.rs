//! What `cairn dev` keeps on disk:
//!
//! ```text
//! DIR/genesis.json              who founded the chain; written last, so when it is there all is
//! DIR/prometheus.json           for Prometheus, as file_sd_configs read it; made anew at each start
//! DIR/members/NAME.key          the member keys, apart from the volumes
//! DIR/NAME/cairn.toml           configuration, made anew at each start
//! DIR/NAME/pid, node.log        of the running process
//! DIR/NAME/data/                the validator's volume: consensus key, journal, blocks, log
//! ```
//!
//! *Invariant:* a consensus key is made here only together with the genesis that names it. A volume that
//! was lost later stays without one: the node makes a key that the chain does not know, and
//! follows without signing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cairn_ledger::genesis::{Genesis, Validator};

use crate::{
    cli::genesis,
    clock,
    config::{Config, OrderKind, Overrides, StoreKind},
    exit::{ExitCode, Failure},
    keys,
};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'p> {
    pub(super) validators: Option<u16>,
    pub(super) base_port: u16,
    pub(super) order: OrderKind,
    pub(super) store: StoreKind,
    /// PD's endpoint, for what is in TiKV.
    pub(super) pd: Option<&'p str>,
}

/// One validator's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    first_port: u16,
}

/// How many validators there are where nobody says.
const VALIDATORS: u16 = 4;

/// The first port where nobody says.
pub(super) const BASE_PORT: u16 = 9984;

/// Ports of one validator, and the distance to the next one's.
const PORTS: [&str; 4] = ["API", "second WebSocket port", "admin", "mesh"];
const PORT_STEP: u16 = 10;

impl Home {
    fn new(directory: &Path, index: u16, base_port: u16) -> Self {
        let name = format!("validator-{index}");
        let directory = directory.join(&name);
        Self { name, directory, first_port: base_port + PORT_STEP * index }
    }

    /// Each port and what it is for.
    pub(super) fn ports(&self) -> [(&'static str, u16); 4] {
        [0, 1, 2, 3].map(|at| (PORTS[usize::from(at)], self.first_port + at))
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.directory.join("cairn.toml")
    }

    /// Made by `cairn dev`, with the genesis, and by nobody else.
    fn consensus_key_file(&self) -> PathBuf {
        self.directory.join("data").join("consensus.key")
    }
}

/// The validators' places, in the order of their ports. [`check`] comes first.
pub(super) fn homes(directory: &Path, validators: u16, base_port: u16) -> Vec<Home> {
    (0..validators).map(|index| Home::new(directory, index, base_port)).collect()
}

/// The admin ports of the validators where nobody says anything.
pub(in crate::cli) fn admin_ports() -> Vec<u16> {
    let homes = homes(Path::new(""), VALIDATORS, BASE_PORT);
    homes.iter().map(|home| home.ports()[2].1).collect()
}

fn genesis_file(directory: &Path) -> PathBuf {
    directory.join("genesis.json")
}

fn member_key_file(directory: &Path, name: &str) -> PathBuf {
    directory.join("members").join(format!("{name}.key"))
}

/// How many validators the chain in `directory` has, or will have.
pub(super) fn count(directory: &Path, plan: &Plan<'_>) -> Result<u16, Failure> {
    let path = genesis_file(directory);
    if !path.exists() {
        return Ok(plan.validators.unwrap_or(VALIDATORS));
    }
    let genesis = genesis::read(&path)?;
    let founded = u16::try_from(genesis.validators().len()).unwrap_or(u16::MAX);
    let ours = (0..founded).all(|index| {
        genesis.validators().iter().any(|validator| validator.name == format!("validator-{index}"))
    });
    if !ours {
        return Err(Failure::new(
            ExitCode::DataDirectory,
            format!(
                "{} was not made by cairn dev; --data names another place",
                directory.display()
            ),
        ));
    }
    match plan.validators {
        Some(asked) if asked != founded => Err(Failure::new(
            ExitCode::DataDirectory,
            format!(
                "the chain in {} has {founded} validators, {asked} were asked for; \
                 leave --validators out, or name another place with --data",
                directory.display()
            ),
        )),
        _ => Ok(founded),
    }
}

/// Whether what was asked for can be.
pub(super) fn check(validators: u16, plan: &Plan<'_>) -> Result<(), Failure> {
    if plan.order == OrderKind::Memory && validators != 1 {
        return Err(Failure::new(
            ExitCode::Usage,
            format!(
                "--order memory is a log inside one process, and {validators} validators are \
                 {validators} processes; --validators 1 or --order raft is fine"
            ),
        ));
    }
    let last = u32::from(plan.base_port) + u32::from(PORT_STEP) * (u32::from(validators) - 1) + 3;
    if last > u32::from(u16::MAX) {
        return Err(Failure::new(
            ExitCode::Usage,
            format!("--base-port {}: the last port would be {last}, above 65535", plan.base_port),
        ));
    }
    Ok(())
}

/// The first port behind those of the validators.
pub(super) fn port_after(validators: u16, plan: &Plan<'_>) -> u16 {
    plan.base_port.saturating_add(PORT_STEP * validators)
}

/// Makes what is not there yet, and keeps what is.
pub(super) fn lay_out(directory: &Path, plan: &Plan<'_>) -> Result<Vec<Home>, Failure> {
    let validators = count(directory, plan)?;
    check(validators, plan)?;
    let homes = homes(directory, validators, plan.base_port);
    make_directory(&directory.join("members"))?;
    let path = genesis_file(directory);
    if !path.exists() {
        genesis::write_new(&path, &found(directory, &homes)?)?;
    }
    for home in &homes {
        make_directory(&home.directory)?;
        let key = member_key_file(directory, &home.name);
        if !key.exists() {
            return Err(Failure::new(
                ExitCode::Key,
                format!("{} is missing, and no other key is this member's", key.display()),
            ));
        }
        write(&home.config_file(), &config_text(home, &homes, plan))?;
    }
    write(&targets_file(directory), &format!("{:#}\n", targets(&homes)))?;
    Ok(homes)
}

/// Keys for all, then the record that names them. Keys of a start that was broken off before
/// the record was written are taken up: nothing was signed with them.
fn found(directory: &Path, homes: &[Home]) -> Result<Genesis, Failure> {
    let mut validators = Vec::with_capacity(homes.len());
    for home in homes {
        make_directory(&home.directory.join("data"))?;
        let consensus = keys::read_or_make(&home.consensus_key_file())?;
        let member = keys::read_or_make(&member_key_file(directory, &home.name))?;
        validators.push(Validator {
            name: home.name.clone(),
            consensus_key: consensus.public(),
            member_key: member.public(),
            power: 1,
        });
    }
    Genesis::new("dev".to_owned(), clock::random(), validators)
        .map_err(|error| Failure::new(ExitCode::Genesis, error))
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        Failure::new(ExitCode::DataDirectory, format!("cannot make {}: {error}", path.display()))
    })
}

/// The log and the store that the chain in `directory` was made with.
pub(super) fn kinds(directory: &Path, base_port: u16) -> Option<(OrderKind, StoreKind)> {
    let first = homes(directory, 1, base_port).remove(0);
    let config = Config::load(&first.config_file(), &Overrides::default()).ok()?;
    Some((config.order, config.store))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::general(format!("cannot write {}: {error}", path.display())))
}

fn targets_file(directory: &Path) -> PathBuf {
    directory.join("prometheus.json")
}

/// Whom Prometheus is to ask, with the labels that the operator's PodMonitor gives on Kubernetes: what
/// dashboards and alerts tell clusters and validators apart by.
fn targets(homes: &[Home]) -> serde_json::Value {
    let targets = homes.iter().map(|home| {
        let [_, _, (_, admin), _] = home.ports();
        serde_json::json!({
            "targets": [format!("127.0.0.1:{admin}")],
            "labels": {
                "namespace": "dev", "cairndb_io_cluster": "dev", "cairndb_io_validator": home.name,
            },
        })
    });
    targets.collect()
}

fn config_text(home: &Home, homes: &[Home], plan: &Plan<'_>) -> String {
    let Plan { order, store, .. } = plan;
    let name = &home.name;
    let [(_, api), (_, events), (_, admin), (_, mesh)] = home.ports();
    let peers: String = homes
        .iter()
        .filter(|other| other.name != *name)
        .map(|other| format!("{} = \"127.0.0.1:{}\"\n", other.name, other.ports()[3].1))
        .collect();
    let tikv = plan.pd.map_or_else(String::new, |pd| format!("\n[tikv]\npd = [\"{pd}\"]\n"));
    format!(
        "# Made by `cairn dev`, anew at each start. Paths are relative to this file.\n\
         name = \"{name}\"\n\
         data = \"data\"\n\
         genesis = \"../genesis.json\"\n\
         member_key = \"../members/{name}.key\"\n\
         order = \"{order}\"\n\
         store = \"{store}\"\n\
         log = \"info\"\n\
         \n\
         [listen]\n\
         api = \"127.0.0.1:{api}\"\n\
         api_events = \"127.0.0.1:{events}\"\n\
         admin = \"127.0.0.1:{admin}\"\n\
         mesh = \"127.0.0.1:{mesh}\"\n\
         \n\
         [peers]\n\
         {peers}\
         {tikv}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PLAN: Plan<'static> = Plan {
        validators: None,
        base_port: 9984,
        order: OrderKind::Raft,
        store: StoreKind::Embedded,
        pd: None,
    };

    /// A directory of its own for each test, gone at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("cairn-dev-{test}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> BTreeMap<PathBuf, String> {
            let mut files = BTreeMap::new();
            let mut directories = vec![self.0.clone()];
            while let Some(directory) = directories.pop() {
                for entry in fs::read_dir(directory).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        directories.push(path);
                    } else {
                        let name = path.strip_prefix(&self.0).unwrap().to_owned();
                        files.insert(name, fs::read_to_string(&path).unwrap());
                    }
                }
            }
            files
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_empty_directory_becomes_a_federation_whose_configuration_reads() {
        let scratch = Scratch::new("new");
        let homes = lay_out(&scratch.0, &PLAN).unwrap();
        assert_eq!(homes.len(), 4);
        let genesis = genesis::read(&genesis_file(&scratch.0)).unwrap();
        for (at, home) in homes.iter().enumerate() {
            let config = Config::load(&home.config_file(), &Overrides::default()).unwrap();
            assert_eq!(config.name, format!("validator-{at}"));
            assert_eq!(usize::from(config.listen.api.port()), 9984 + 10 * at);
            assert_eq!(usize::from(config.listen.mesh.port()), 9987 + 10 * at);
            assert_eq!(config.listen.admin.port(), admin_ports()[at]);
            assert_eq!(config.peers.len(), 3);
            let named = genesis.validators().iter().find(|v| v.name == config.name).unwrap();
            let member = keys::read(&config.member_key).unwrap().public();
            let consensus = keys::read(&config.data.join("consensus.key")).unwrap().public();
            assert_eq!((named.member_key, named.consensus_key), (member, consensus));
        }
    }

    #[test]
    fn prometheus_is_told_whom_to_ask() {
        let targets = targets(&homes(Path::new("d"), 2, 9984));
        assert_eq!(
            targets[1],
            serde_json::json!({
                "targets": ["127.0.0.1:9996"],
                "labels": {
                    "namespace": "dev", "cairndb_io_cluster": "dev",
                    "cairndb_io_validator": "validator-1",
                },
            })
        );
    }

    #[test]
    fn starting_again_changes_nothing_and_other_ports_only_the_configuration() {
        let scratch = Scratch::new("again");
        lay_out(&scratch.0, &PLAN).unwrap();
        let before = scratch.files();
        lay_out(&scratch.0, &PLAN).unwrap();
        assert_eq!(scratch.files(), before);
        lay_out(&scratch.0, &Plan { base_port: 20_000, ..PLAN }).unwrap();
        for (name, text) in scratch.files() {
            let changed = before[&name] != text;
            let has_ports = name.ends_with("cairn.toml") || name.ends_with("prometheus.json");
            assert_eq!(changed, has_ports, "{}", name.display());
        }
    }

    #[test]
    fn a_lost_volume_gets_its_configuration_back_but_no_key_that_could_sign() {
        let scratch = Scratch::new("lost");
        let homes = lay_out(&scratch.0, &PLAN).unwrap();
        let config = fs::read_to_string(homes[1].config_file()).unwrap();
        fs::remove_dir_all(&homes[1].directory).unwrap();
        lay_out(&scratch.0, &PLAN).unwrap();
        assert_eq!(fs::read_to_string(homes[1].config_file()).unwrap(), config);
        assert!(!homes[1].consensus_key_file().exists());
        assert!(homes[0].consensus_key_file().exists());
    }

    #[test]
    fn a_lost_member_key_is_said_and_not_replaced() {
        let scratch = Scratch::new("member");
        lay_out(&scratch.0, &PLAN).unwrap();
        let key = member_key_file(&scratch.0, "validator-2");
        fs::remove_file(&key).unwrap();
        let failure = lay_out(&scratch.0, &PLAN).unwrap_err();
        assert_eq!(failure.code, ExitCode::Key);
        assert!(failure.message.contains("validator-2.key") && !key.exists());
    }

    #[test]
    fn a_start_that_was_broken_off_is_taken_up() {
        let scratch = Scratch::new("broken");
        lay_out(&scratch.0, &PLAN).unwrap();
        let mut before = scratch.files();
        fs::remove_file(genesis_file(&scratch.0)).unwrap();
        lay_out(&scratch.0, &PLAN).unwrap();
        let mut after = scratch.files();
        before.remove(Path::new("genesis.json"));
        assert!(after.remove(Path::new("genesis.json")).is_some());
        assert_eq!(after, before, "the same keys");
    }

    #[test]
    fn log_and_store_are_written_down_and_found_again() {
        let scratch = Scratch::new("kinds");
        assert_eq!(kinds(&scratch.0, 9984), None);
        let (order, store) = (OrderKind::Raft, StoreKind::Tikv);
        let plan = Plan { order, store, pd: Some("127.0.0.1:2379"), ..PLAN };
        let homes = lay_out(&scratch.0, &plan).unwrap();
        let config = Config::load(&homes[2].config_file(), &Overrides::default()).unwrap();
        assert_eq!(config.tikv.unwrap().pd, ["127.0.0.1:2379"]);
        assert_eq!(kinds(&scratch.0, 9984), Some((order, store)));
    }

    #[test]
    fn the_number_of_validators_stays_and_ports_fit() {
        let scratch = Scratch::new("count");
        let one = Plan { validators: Some(1), order: OrderKind::Memory, ..PLAN };
        assert_eq!(lay_out(&scratch.0, &one).unwrap().len(), 1);
        assert_eq!(lay_out(&scratch.0, &PLAN).unwrap().len(), 1, "as it was made");
        let four = lay_out(&scratch.0, &Plan { validators: Some(4), ..PLAN }).unwrap_err();
        assert_eq!(four.code, ExitCode::DataDirectory, "{four}");
        #[rustfmt::skip]
        let table = [
            (4,  9984,   OrderKind::Raft,   true,  "the usual"),
            (1,  9984,   OrderKind::Memory, true,  "alone"),
            (2,  9984,   OrderKind::Memory, false, "two processes share no memory"),
            (1,  65_532, OrderKind::Raft,   true,  "the last four ports"),
            (1,  65_533, OrderKind::Raft,   false, "one too far"),
            (11, 65_450, OrderKind::Raft,   false, "the eleventh too far"),
        ];
        for (validators, base_port, order, fine, why) in table {
            let plan = Plan { base_port, order, ..PLAN };
            assert_eq!(check(validators, &plan).is_ok(), fine, "{why}");
        }
    }
}
