//! `cairn dev`: a whole federation on this machine, one process for each validator.

mod children;
mod layout;
mod servers;

use std::{fs::File, net::TcpListener, path::PathBuf};

use clap::Args;
use serde_json::json;

pub(super) use self::layout::admin_ports;
use self::{
    layout::{Home, Plan},
    servers::Servers,
};
use super::{
    Output,
    print::{self, Printed},
};
use crate::{
    config::{OrderKind, StoreKind},
    exit::{ExitCode, Failure},
};

/// Run a whole federation on this machine, to try things out.
#[derive(Debug, Args)]
#[command(after_help = "\
Validator i, counted from 0, listens on 127.0.0.1: API on base+10*i, second WebSocket port on +1,
admin on +2, mesh on +3. Everything is kept in the directory; starting again continues the chain.
Logs are in DIR/NAME/node.log.

Examples:
  cairn dev
  cairn dev --validators 7 --data ./seven --base-port 20000
  cairn dev --order tikv --store tikv                        log and state in TiKV
  CAIRN_TRACES_ENDPOINT=http://127.0.0.1:4318 cairn dev      tells a collector of OpenTelemetry
  kill -9 $(cat DIR/validator-2/pid)                         one falls; the others go on
  cairn node --config DIR/validator-2/cairn.toml             and comes back")]
pub(super) struct Arguments {
    /// How many validators [default: 4, or as many as DIR was made with]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    validators: Option<u16>,
    /// Where everything is kept [default: cairn/dev in the user's data directory]
    #[arg(long, env = "CAIRN_DEV_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// First port
    #[arg(long, default_value_t = layout::BASE_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// Which log orders the transactions [default: raft, or what DIR was made with]
    #[arg(long, value_enum)]
    order: Option<OrderKind>,
    /// Where blocks and state are [default: embedded, or what DIR was made with]
    #[arg(long, value_enum)]
    store: Option<StoreKind>,
    /// PD of a TiKV cluster that runs; without it, tikv starts PD and three stores of its own
    #[arg(long, env = "CAIRN_DEV_PD", value_name = "HOST:PORT")]
    pd: Option<String>,
}

pub(super) fn run(arguments: &Arguments, output: Output) -> Result<Printed, Failure> {
    let directory = arguments.data.clone().unwrap_or_else(default_directory);
    if arguments.data.is_none() {
        eprintln!("everything is kept in {}", directory.display());
    }
    let (order, store) = kinds(arguments, &directory)?;
    let mut plan = Plan {
        validators: arguments.validators,
        base_port: arguments.base_port,
        order,
        store,
        pd: arguments.pd.as_deref(),
    };
    let validators = layout::count(&directory, &plan)?;
    layout::check(validators, &plan)?;
    std::fs::create_dir_all(&directory).map_err(|error| {
        Failure::new(
            ExitCode::DataDirectory,
            format!("cannot make {}: {error}; --data names another", directory.display()),
        )
    })?;
    let _alone = lock(&directory)?;
    check_ports(&layout::homes(&directory, validators, plan.base_port))?;
    let in_tikv = order == OrderKind::Tikv || store == StoreKind::Tikv;
    if in_tikv && !cfg!(feature = "tikv") {
        return Err(Failure::new(
            ExitCode::Usage,
            "this cairn was built without TiKV; one built with `--features tikv` would be fine, or --order raft --store embedded",
        ));
    }
    // Dropped last: the validators end before what they store in.
    let servers = if in_tikv && plan.pd.is_none() {
        Some(Servers::start(&directory.join("tikv"), layout::port_after(validators, &plan))?)
    } else {
        None
    };
    if let Some(servers) = &servers {
        plan.pd = Some(&servers.pd);
    }
    let homes = layout::lay_out(&directory, &plan)?;
    let urls = match output {
        Output::Table => urls_table(&homes),
        Output::Json => format!("{:#}\n", urls_json(&homes)),
    };
    children::supervise(&homes, || {
        let _ = print::out(&urls);
        let _ = print::out("ready\n");
    })?;
    Ok(Printed::nothing())
}

/// Which log and which store: those that were asked for, which must be those that the chain was made with.
fn kinds(
    arguments: &Arguments,
    directory: &std::path::Path,
) -> Result<(OrderKind, StoreKind), Failure> {
    let Some((order, store)) = layout::kinds(directory, arguments.base_port) else {
        let order = arguments.order.unwrap_or(OrderKind::Raft);
        return Ok((order, arguments.store.unwrap_or(StoreKind::Embedded)));
    };
    if arguments.order.unwrap_or(order) == order && arguments.store.unwrap_or(store) == store {
        return Ok((order, store));
    }
    Err(Failure::new(
        ExitCode::DataDirectory,
        format!(
            "the chain in {} was made with --order {order} --store {store}; leave them out, or name another place with --data",
            directory.display()
        ),
    ))
}

/// `$XDG_DATA_HOME/cairn/dev`, as the XDG base directory specification has it, or `./cairn-dev`.
fn default_directory() -> PathBuf {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("cairn-dev"), |data| data.join("cairn/dev"))
}

/// Two of them on one directory would write over each other's files.
fn lock(directory: &std::path::Path) -> Result<File, Failure> {
    let path = directory.join(".lock");
    let fail = |why: String| Failure::new(ExitCode::DataDirectory, why);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| fail(format!("cannot write in {}: {error}", directory.display())))?;
    file.try_lock().map_err(|_| {
        fail(format!(
            "another cairn dev uses {}; end it, or choose another directory with --data",
            directory.display()
        ))
    })?;
    Ok(file)
}

/// Says which port is in use before anything starts.
fn check_ports(homes: &[Home]) -> Result<(), Failure> {
    for home in homes {
        for (what, port) in home.ports() {
            if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
                return Err(Failure::new(
                    ExitCode::PortBusy,
                    format!(
                        "port {port} ({what} of {}) cannot be used: {error}; --base-port chooses others",
                        home.name
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn urls_table(homes: &[Home]) -> String {
    let mut rows = vec![["validator", "API", "admin", "directory"].map(str::to_owned).to_vec()];
    rows.extend(homes.iter().map(|home| {
        let [(_, api), _, (_, admin), _] = home.ports();
        vec![
            home.name.clone(),
            format!("http://127.0.0.1:{api}"),
            format!("http://127.0.0.1:{admin}"),
            home.directory.display().to_string(),
        ]
    }));
    print::table(&rows)
}

fn urls_json(homes: &[Home]) -> serde_json::Value {
    let of = |home: &Home| {
        let [(_, api), (_, events), (_, admin), (_, mesh)] = home.ports();
        json!({
            "name": home.name, "api": format!("http://127.0.0.1:{api}"),
            "api_events": format!("ws://127.0.0.1:{events}"),
            "admin": format!("http://127.0.0.1:{admin}"),
            "mesh": format!("127.0.0.1:{mesh}"), "directory": home.directory,
        })
    };
    json!({ "validators": homes.iter().map(of).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_use() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let homes = layout::homes(std::path::Path::new("/nowhere"), 1, port);
        let failure = check_ports(&homes).unwrap_err();
        assert_eq!(failure.code, ExitCode::PortBusy);
        assert!(
            failure.message.contains(&format!("port {port} (API of validator-0)")),
            "{failure}"
        );
    }

    #[test]
    fn the_table_names_every_validator() {
        let text = urls_table(&layout::homes(std::path::Path::new("d"), 2, 9984));
        assert_eq!(
            text,
            "validator    API                    admin                  directory\n\
             validator-0  http://127.0.0.1:9984  http://127.0.0.1:9986  d/validator-0\n\
             validator-1  http://127.0.0.1:9994  http://127.0.0.1:9996  d/validator-1\n"
        );
    }
}
