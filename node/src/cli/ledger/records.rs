//! The two forms of an exported ledger, byte by byte.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use cairn_ledger::{block::Block, genesis::Genesis, ids::Height, limits::FRAME_BYTES_MAX};
use sha2::{Digest, Sha256};

use crate::exit::{ExitCode, Failure};

const APART: &[u8; 22] = b"cairn ledger export 1\n";
const STREAM: &[u8; 22] = b"cairn ledger stream 1\n";

/// An exported ledger that is being read.
pub(super) struct Source {
    name: String,
    chain: Box<dyn Read>,
    /// The other file; a stream has all in one.
    certificates: Option<Box<dyn Read>>,
    bytes: u64,
    size: Option<u64>,
}

impl Source {
    /// Opens a file and what lies beside it, or stdin; checks that it is of this chain.
    pub(super) fn open(path: &Path, genesis: &Genesis) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let mut stdin = io::stdin().lock();
            let stream = head(&mut stdin, "stdin", genesis)?;
            return Self::of_stream("stdin".to_owned(), Box::new(stdin), stream, None);
        }
        let name = path.display().to_string();
        let (mut chain, size) = open(path)?;
        if head(&mut chain, &name, genesis)? {
            return Self::of_stream(name, Box::new(chain), true, Some(size));
        }
        let proof = certificates_of(path);
        let (mut certificates, _) = open(&proof)?;
        let proof = proof.display().to_string();
        if head(&mut certificates, &proof, genesis)? {
            return Err(Failure::general(format!(
                "{proof}: is a stream, not the certificates of {name}"
            )));
        }
        let (chain, certificates) = (Box::new(chain), Box::new(certificates));
        Ok(Self { name, chain, certificates: Some(certificates), bytes: 0, size: Some(size) })
    }

    fn of_stream(
        name: String,
        chain: Box<dyn Read>,
        stream: bool,
        size: Option<u64>,
    ) -> Result<Self, Failure> {
        if !stream {
            return Err(Failure::general(format!(
                "{name}: the certificates of such an export are in a file of their own: name the \
                 file, or make a stream with cairn export --out -"
            )));
        }
        Ok(Self { name, chain, certificates: None, bytes: 0, size })
    }

    /// The block of that height, whole; nothing at the end.
    pub(super) fn next(&mut self, height: Height) -> Result<Option<Vec<u8>>, String> {
        let after = height.0.saturating_sub(1);
        let Some(chain) = next_record(&mut self.chain, height)? else {
            return match &mut self.certificates {
                None => {
                    Err(format!("ends after block {after}, which is not its end: it was cut short"))
                }
                Some(certificates) => match next_record(certificates, height)? {
                    None => Ok(None),
                    Some(_) => Err(format!(
                        "ends after block {after}, before its certificates do: block {height} is missing"
                    )),
                },
            };
        };
        self.bytes += 4 + chain.len() as u64;
        if chain.is_empty() && self.certificates.is_none() {
            return self.end(after).map(|()| None);
        }
        let certificate = match &mut self.certificates {
            Some(certificates) => next_record(certificates, height)?,
            None => next_record(&mut self.chain, height)?
                .inspect(|certificate| self.bytes += 4 + certificate.len() as u64),
        };
        let certificate =
            certificate.ok_or_else(|| format!("the certificate of block {height} is missing"))?;
        let whole = Block::join(&chain, &certificate);
        whole.map(Some).map_err(|error| format!("block {height}: {error}"))
    }

    /// What follows the last block of a stream.
    fn end(&mut self, after: u64) -> Result<(), String> {
        let mut last = [0; 8];
        self.chain
            .read_exact(&mut last)
            .map_err(|_| format!("ends after block {after}, in the middle of its end"))?;
        let last = u64::from_be_bytes(last);
        if last != after {
            return Err(format!(
                "says that it ends with block {last}, and ends after block {after}"
            ));
        }
        match self.chain.read(&mut [0]) {
            Ok(0) => Ok(()),
            _ => Err(format!("something follows its end after block {after}")),
        }
    }

    /// How much was read, of how much if that is known.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// What is wrong with it.
    pub(super) fn fail(&self, why: &str) -> Failure {
        Failure::general(format!("{}: {why}", self.name))
    }
}

/// The file beside an exported chain.
pub(super) fn certificates_of(chain: &Path) -> PathBuf {
    beside(chain, ".certificates")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn open(path: &Path) -> Result<(BufReader<File>, u64), Failure> {
    let fail =
        |error: io::Error| Failure::general(format!("{}: cannot be read: {error}", path.display()));
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    Ok((BufReader::with_capacity(1 << 20, file), size))
}

/// Reads the head; whether it is that of a stream.
fn head(reader: &mut impl Read, name: &str, genesis: &Genesis) -> Result<bool, Failure> {
    let fail = |why: &str| Failure::general(format!("{name}: {why}"));
    let (mut magic, mut chain) = ([0; APART.len()], [0; 32]);
    let read = reader.read_exact(&mut magic).and_then(|()| reader.read_exact(&mut chain));
    read.map_err(|_| fail("is no exported ledger"))?;
    if magic != *APART && magic != *STREAM {
        return Err(fail("is no exported ledger of a version that this one reads"));
    }
    if chain != genesis.chain().0 {
        let chain = hex::encode(chain);
        return Err(fail(&format!("is of chain {chain}, the genesis is of {}", genesis.chain())));
    }
    Ok(magic == *STREAM)
}

/// The next record's bytes; nothing at the end of the file.
fn next_record(reader: &mut impl Read, height: Height) -> Result<Option<Vec<u8>>, String> {
    let cut = || format!("ends in the middle of block {height}");
    let mut length = [0; 4];
    let mut got = 0;
    while got < length.len() {
        match reader.read(&mut length[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(cut()),
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot be read at block {height}: {error}")),
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(format!(
            "block {height} would be a record of {length} bytes; at most {FRAME_BYTES_MAX} fit"
        ));
    }
    // Memory is taken as bytes come: a damaged length alone takes none.
    let mut bytes = Vec::new();
    let read = reader.take(length as u64).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read at block {height}: {error}"))?;
    if bytes.len() < length { Err(cut()) } else { Ok(Some(bytes)) }
}

/// A form in the making: whatever takes bytes, which are counted and hashed on their way.
pub(super) struct Output<W: Write> {
    to: BufWriter<W>,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Output<W> {
    /// Writes the head of one of the two files.
    pub(super) fn apart(to: W, genesis: &Genesis) -> io::Result<Self> {
        Self::begin(to, APART, genesis)
    }

    /// Writes the head of a stream.
    pub(super) fn stream(to: W, genesis: &Genesis) -> io::Result<Self> {
        Self::begin(to, STREAM, genesis)
    }

    fn begin(to: W, magic: &[u8], genesis: &Genesis) -> io::Result<Self> {
        let to = BufWriter::with_capacity(1 << 18, to);
        let mut output = Self { to, hash: Sha256::new(), bytes: 0 };
        output.put(magic)?;
        output.put(&genesis.chain().0)?;
        Ok(output)
    }

    pub(super) fn put_record(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).expect("a block is one frame");
        self.put(&length.to_be_bytes())?;
        self.put(bytes)
    }

    /// The end of a stream.
    pub(super) fn put_end(&mut self, last: Height) -> io::Result<()> {
        self.put_record(&[])?;
        self.put(&last.0.to_be_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Hands on what is left; answers whither, how many bytes there were, and their SHA-256.
    pub(super) fn finish(self) -> io::Result<(W, u64, String)> {
        let to = self.to.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((to, self.bytes, hex::encode(self.hash.finalize())))
    }
}

/// A file that is there only once it is whole: until then it bears another name, and when it
/// never gets whole it goes.
pub(super) struct Draft {
    path: PathBuf,
    draft: PathBuf,
    pub(super) file: File,
}

impl Draft {
    /// A file that is there is not overwritten.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        refuse_existing(path)?;
        let draft = beside(path, ".part");
        let open = || {
            let file = File::options().write(true).create(true).truncate(false).open(&draft)?;
            // What an export that was killed has left behind is written over; what another one
            // writes just now is not.
            file.try_lock().map_err(io::Error::from)?;
            file.set_len(0)?;
            Ok(file)
        };
        let file = open().map_err(|error| unwritable(&draft, &error))?;
        Ok(Self { path: path.to_owned(), draft, file })
    }

    /// Makes it durable under its own name.
    pub(super) fn publish(self) -> Result<(), Failure> {
        refuse_existing(&self.path)?;
        let fail = |error: io::Error| unwritable(&self.path, &error);
        self.file.sync_all().map_err(fail)?;
        fs::rename(&self.draft, &self.path).map_err(fail)?;
        sync_directory_of(&self.path).map_err(fail)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more when it was published.
        let _ = fs::remove_file(&self.draft);
    }
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::general(format!(
            "{} exists and is not overwritten: choose another name",
            path.display()
        )));
    }
    Ok(())
}

/// Why a file cannot be written, with the code for it.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ExitCode::DiskFull,
        _ => ExitCode::Failed,
    };
    Failure::new(code, format!("{} cannot be written: {error}", path.display()))
}

/// The name too must survive a power cut.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
