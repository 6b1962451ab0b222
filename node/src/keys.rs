//! Private keys in files: comment lines, then the 32-byte seed in base58. Readable by their
//! owner alone, written whole or not at all, never overwritten.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use cairn_ledger::signature::SigningKey;

use crate::{
    clock,
    exit::{ExitCode, Failure},
};

/// Larger than any key file; what is larger is something else.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A new key from the operating system's dice.
pub fn generate() -> SigningKey {
    SigningKey::from_seed(clock::random())
}

/// A private key's text form.
pub fn private_text(key: &SigningKey) -> String {
    bs58::encode(key.seed()).into_string()
}

/// The line of a key that no validator has used yet. A validator takes it out when it makes the
/// signing state that belongs to the key: from then on, a missing signing state is a lost one.
const UNUSED: &str = "# unused: no validator has signed with this key";

/// What a key file holds.
pub fn file_text(key: &SigningKey, unused: bool) -> String {
    format!(
        "# Cairn private key (ed25519). Whoever reads the last line can sign as its owner.\n\
         # public key: {}\n{}{}\n",
        key.public(),
        if unused { format!("{UNUSED}\n") } else { String::new() },
        private_text(key)
    )
}

/// Whether no validator has used the key of that file yet.
///
/// # Errors
/// When the file cannot be read.
pub fn is_unused(path: &Path) -> Result<bool, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(ExitCode::Key, format!("cannot read the key file {}: {error}", path.display()))
    })?;
    Ok(text.lines().any(|line| line == UNUSED))
}

/// Writes down, durably, that a validator uses the key of that file. The file is replaced
/// whole, so that a crash leaves the old one or the new one.
///
/// # Errors
/// When it cannot be written.
pub fn mark_used(path: &Path, key: &SigningKey) -> Result<(), Failure> {
    if !is_unused(path)? {
        return Ok(());
    }
    put(path, &file_text(key, false)).map_err(|error| unwritten(path, &error))
}

/// Puts a whole file there. What a crash leaves half done is a draft, which the next one replaces.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_directory_of(path)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(ExitCode::Key, format!("cannot write {}: {error}", path.display()))
}

/// The key of that file; where there is none, a new one, durably, its directories with it. For
/// one process at a time.
///
/// # Errors
/// When it cannot be read, or cannot be written.
pub fn read_or_make(path: &Path) -> Result<SigningKey, Failure> {
    let make = || -> io::Result<Option<SigningKey>> {
        if path.try_exists()? {
            return Ok(None);
        }
        make_directory(path.parent().unwrap_or(Path::new("")))?;
        let key = generate();
        put(path, &file_text(&key, true))?;
        Ok(Some(key))
    };
    match make() {
        Ok(Some(key)) => Ok(key),
        Ok(None) => read(path),
        Err(error) => Err(unwritten(path, &error)),
    }
}

/// Makes a directory whose name survives a power cut.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    fs::create_dir(path)?;
    sync_directory_of(path)
}

/// The name too must survive a power cut.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Reads a key file.
///
/// # Errors
/// When it cannot be read, or holds anything but comments and one key. The message never
/// shows what the file holds.
pub fn read(path: &Path) -> Result<SigningKey, Failure> {
    let failed = |why: String| {
        Failure::new(ExitCode::Key, format!("cannot read the key file {}: {why}", path.display()))
    };
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > KEY_FILE_BYTES_MAX {
        return Err(failed(format!("it has {size} bytes; a key file has less than 200")));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    parse(&text).map_err(failed)
}

/// Reads the text of a key file.
fn parse(text: &str) -> Result<SigningKey, String> {
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err("one line with a private key is wanted, besides lines that start with #".into());
    };
    let mut seed = [0; 32];
    match bs58::decode(line).onto(&mut seed) {
        Ok(32) => Ok(SigningKey::from_seed(seed)),
        _ => Err("not a private key: 32 bytes in base58 (43 or 44 characters) are one".into()),
    }
}

/// Writes a new key file that only its owner reads, and syncs it.
///
/// # Errors
/// When it exists already (a key is never overwritten) or cannot be written.
pub fn write_new(path: &Path, key: &SigningKey) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(file_text(key, true).as_bytes())?;
        file.sync_all()?;
        sync_directory_of(path)
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            ExitCode::Key,
            format!("{} exists; a key is never overwritten: choose another name", path.display()),
        ),
        _ => unwritten(path, &error),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_private_and_comes_back_and_is_never_overwritten() {
        let directory = std::env::temp_dir().join(format!("cairn-keys-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("alice.key");
        let key = generate();
        write_new(&path, &key).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().seed(), key.seed());
        assert!(is_unused(&path).unwrap(), "a new key has signed nothing");
        mark_used(&path, &key).unwrap();
        assert!(!is_unused(&path).unwrap());
        assert_eq!(read(&path).unwrap().seed(), key.seed());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = write_new(&path, &generate()).unwrap_err();
        assert!(again.message.contains("never overwritten"), "{again}");
        assert_eq!(read(&path).unwrap().seed(), key.seed());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_half_a_file_is_none() {
        let directory = std::env::temp_dir().join(format!("cairn-made-{}", std::process::id()));
        let path = directory.join("deep").join("in").join("member.key");
        let made = read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(is_unused(&path).unwrap());
        assert_eq!(read_or_make(&path).unwrap().seed(), made.seed(), "the same again");
        fs::rename(&path, path.with_extension("key.draft")).unwrap();
        let other = read_or_make(&path).unwrap();
        assert_ne!(other.seed(), made.seed(), "what was not finished was shown to nobody");
        fs::write(&path, "half a k").unwrap();
        let failure = read_or_make(&path).unwrap_err();
        assert_eq!(failure.code, ExitCode::Key, "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "half a k", "nobody else's is replaced");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_no_key_is_said_and_not_shown() {
        // BigchainDB's documentation, key pair of the first sample.
        let known = parse("CfdqtD7sS7FgkMoGPXw55MVGGFwQLAoHYTcBhZDtF99Z").unwrap();
        assert_eq!(known.public().to_string(), "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD");
        for text in ["", "# only comments\n", "secret0OIl", "one\ntwo\n", "1111"] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
