use std::fs;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;

/// Seeds, and the words their mutations use.
pub(crate) struct Target {
    name: String,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

const SEED: u64 = 0x66_75_7a_7a;
const SHORT: usize = 20_000;
const LONG: usize = 10_000_000;
/// The longest input.
const LENGTH: usize = 8 << 10;
/// What no input may take.
const SLOW: Duration = Duration::from_secs(1);

impl Target {
    /// The seeds of a directory below `seeds/`: a file each, or a line each where it is a text file.
    pub(crate) fn new(name: &str, words: &[&str]) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
        let mut seeds = Vec::new();
        let mut files: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.is_file()) {
            let bytes = fs::read(file).unwrap();
            if file.extension().is_some_and(|extension| extension == "txt") {
                seeds.extend(bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec));
            } else {
                seeds.push(bytes);
            }
        }
        assert!(!seeds.is_empty(), "no seeds in {}", directory.display());
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Self { name: name.to_owned(), seeds, words }
    }

    /// Tries every seed and very many mutations of them.
    pub(crate) fn run(&self, check: impl Fn(&[u8])) {
        let long = std::env::var_os("PUSHBELL_TEST_LONG").is_some_and(|value| value == "1");
        let runs = if long { LONG } else { SHORT };
        let mut rng = Rng::with_seed(SEED);
        let started = Instant::now();
        for seed in &self.seeds {
            self.try_one(seed, &check);
        }
        for _ in 0..runs {
            let input = self.mutated(&mut rng);
            self.try_one(&input, &check);
        }
        eprintln!("{}: {runs} runs in {:.1?}", self.name, started.elapsed());
    }

    fn try_one(&self, input: &[u8], check: &impl Fn(&[u8])) {
        // On a busy machine it may have waited for its turn, but not always for the same input.
        for _ in 0..5 {
            let started = Instant::now();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
                eprintln!("{}: failed on \"{}\"", self.name, input.escape_ascii());
                resume_unwind(panic);
            }
            if started.elapsed() < SLOW {
                return;
            }
        }
        panic!("{}: always above {SLOW:?} for \"{}\"", self.name, input.escape_ascii());
    }

    fn mutated(&self, rng: &mut Rng) -> Vec<u8> {
        let mut input = one(rng, &self.seeds).clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(0..=input.len());
            let end = at + rng.usize(0..=(input.len() - at).min(32));
            match rng.u8(0..8) {
                0 if at < input.len() => input[at] ^= 1 << rng.u8(0..8),
                1 if at < input.len() => input[at] = rng.u8(..),
                2 => input.insert(at, rng.u8(..)),
                3 => drop(input.drain(at..end)),
                4 => {
                    let again = input[at..end].to_vec();
                    input.splice(at..at, again);
                }
                5 => {
                    let other = one(rng, &self.seeds);
                    let from = rng.usize(0..=other.len());
                    input.truncate(at);
                    input.extend(&other[from..]);
                }
                _ => drop(input.splice(at..end, one(rng, &self.words).iter().copied())),
            }
        }
        input.truncate(LENGTH);
        input
    }
}

fn one<'a>(rng: &mut Rng, of: &'a [Vec<u8>]) -> &'a Vec<u8> {
    &of[rng.usize(0..of.len())]
}
