//! `cairn import`: a data directory out of an exported ledger, whole or not at all.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_ledger::{audit::Audit, genesis::Genesis};
use clap::Args;

use super::{
    printed,
    records::{Source, sync_directory_of, unwritable},
    walk,
};
use crate::{
    cli::{genesis, interrupt::Interrupt, print::Printed, progress::Progress},
    clock::Stopwatch,
    exit::{ExitCode, Failure},
    node::store_failure,
    store::{Store, embedded::Embedded},
};

/// Make a validator's data directory out of an exported ledger
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing in the file is believed: every certificate, signature and rule is checked against the genesis,
as cairn verify ledger does. The directory is there once all of it is, and not before; what is broken off
leaves nothing.

A ledger says nothing of keys. A validator that starts on an imported directory follows the chain
and serves it; it does not sign, since nobody knows what its key has signed before: a new key must be registered.

Examples:
  cairn import ledger.cairn --genesis genesis.json --data ./data
  zstd -dc ledger.zst | cairn import - --genesis genesis.json --data ./data")]
pub(in crate::cli) struct Import {
    /// The exported ledger, its .certificates beside it, or a stream; - is stdin
    file: PathBuf,
    /// The genesis of the chain that you trust
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The data directory to make: empty, or not there yet
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: PathBuf,
}

pub(in crate::cli) fn import(arguments: &Import) -> Result<Printed, Failure> {
    let genesis = Arc::new(genesis::read(&arguments.genesis)?);
    let mut source = Source::open(&arguments.file, &genesis)?;
    let interrupt = Interrupt::listen()?;
    let watch = Stopwatch::start();
    let progress = Progress::bytes("importing", source.size()).alone();
    let audit = into_directory(&mut source, &genesis, &arguments.data, &interrupt, &progress)?;
    progress.done();
    Ok(printed("imported", &audit, &genesis, watch.seconds()))
}

/// Fills a draft beside the directory, then gives it its name.
pub(super) fn into_directory(
    source: &mut Source,
    genesis: &Arc<Genesis>,
    directory: &Path,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Audit, Failure> {
    let draft = Draft::new(directory)?;
    let store = Embedded::open(&draft.path, Arc::clone(genesis)).map_err(store_failure)?;
    let audit = walk(source, genesis, interrupt, progress, |block, changes| {
        store.commit(&Arc::new(block), &changes).map_err(store_failure)
    });
    let audit = audit.map_err(|failure| Failure {
        message: format!("{failure}; nothing was imported"),
        ..failure
    })?;
    store.stop();
    drop(store);
    draft.publish(directory)?;
    Ok(audit)
}

/// A directory in the making; it goes when it is not published.
struct Draft {
    path: PathBuf,
    /// Says whose directory it is, and that it is in use.
    mark: File,
}

/// The name of the mark.
const MARK: &str = "importing";

impl Draft {
    fn new(directory: &Path) -> Result<Self, Failure> {
        let fail = |why: String| Failure::new(ExitCode::DataDirectory, why);
        let shown = directory.display();
        let holds_something = match fs::read_dir(directory) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(fail(format!("{shown} cannot be read: {error}"))),
        };
        if holds_something {
            let fine = "an empty one, or one that is not there yet, would be fine";
            return Err(fail(format!("{shown} holds files already; {fine}")));
        }
        let mut path = directory.as_os_str().to_owned();
        path.push(".importing");
        let path = PathBuf::from(path);
        let shown = path.display();
        let mark = path.join(MARK);
        if path.exists() {
            // What an import that was killed has left behind. Nothing else is touched.
            let left = File::open(&mark).map_err(|_| {
                fail(format!("{shown} is there, and not from an import: move it away"))
            })?;
            let busy = || fail(format!("another import fills {shown}"));
            left.try_lock().map_err(|_| busy())?;
            fs::remove_dir_all(&path).map_err(|error| unwritable(&path, &error))?;
        }
        let make = || {
            fs::create_dir_all(&path)?;
            let file = File::create_new(&mark)?;
            file.try_lock().map_err(io::Error::from)?;
            Ok(file)
        };
        let mark = make().map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path, mark })
    }

    fn publish(self, directory: &Path) -> Result<(), Failure> {
        let fail = |error: io::Error| unwritable(directory, &error);
        fs::remove_file(self.path.join(MARK)).map_err(fail)?;
        self.mark.sync_all().map_err(fail)?;
        File::open(&self.path).and_then(|path| path.sync_all()).map_err(fail)?;
        // An empty directory of that name gives way.
        fs::rename(&self.path, directory).map_err(fail)?;
        sync_directory_of(directory).map_err(fail)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more when it was published.
        let _ = fs::remove_dir_all(&self.path);
    }
}
