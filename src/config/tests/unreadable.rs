//! What is no configuration, and what must never be shown of one.

use std::fs;

use proptest::prelude::*;

use super::super::*;
use super::MINIMAL;
use super::environment;
use super::found;
use super::parse;

#[test]
fn what_is_no_configuration_at_all_is_told_plainly() {
    let parse = |bytes: &[u8]| {
        let path = Path::new("p.yaml");
        let result = Config::parse(path, bytes.to_vec(), &Overrides::default(), &environment());
        let found = found(&result.unwrap_err());
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    };
    let (line, column, _, message) = parse(b"registry:\n  name: \xff\n");
    assert_eq!((line, column), (2, 9));
    assert!(message.contains("not UTF-8"), "{message}");
    assert!(parse(b"").3.contains("`registry.upstream` is missing"));
    assert!(parse(b"# nothing\n").3.contains("`registry.upstream` is missing"));
    assert!(parse(b"just text\n").3.contains("not a mapping"));
    assert!(parse(b"- a\n").3.contains("not a mapping"));
    assert!(parse(b"a: [\n").3.contains("not YAML"));
    assert!(parse(b"registry:\n\tname: x\n").3.contains("tabs"));
    assert!(parse(b"\0\0\0\0").3.len() > 10);
    let (line, column, ..) = parse(b"registry:\n  name: \"x\n");
    assert!(line >= 2 && column >= 1);
    let bom = [b"\xef\xbb\xbf".as_slice(), MINIMAL.as_bytes()].concat();
    assert!(Config::parse(Path::new("p"), bom, &Overrides::default(), &environment()).is_ok());
}

#[test]
fn a_broken_line_shows_no_secret() {
    let problems = parse("registry:\n  password: hunter2: [\n").unwrap_err();
    assert!(!problems.to_string().contains("hunter2"), "{problems}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment { directory: directory.path().to_owned(), ..environment() };
    fs::write(directory.path().join("big.yaml"), vec![b'#'; 10 << 20]).unwrap();
    for (name, words) in
        [("none.yaml", "No such file"), ("big.yaml", "larger than 1 MiB"), (".", "irectory")]
    {
        let problems =
            Config::load(Path::new(name), &Overrides::default(), &environment).unwrap_err();
        assert!(problems.to_string().contains(words), "{problems}");
    }
}

#[test]
fn a_configuration_prints_no_secret() {
    let text = format!(
        "{MINIMAL}endpoints: [{{ name: a, url: \"https://h/services/T0/B0\", \
         sign: {{ secret_env: SECRET }}, headers: {{ X-Key: hunter2 }} }}]\n"
    );
    let printed = format!("{:?}", parse(&text).unwrap());
    for secret in ["whsec_x", "hunter2", "T0"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

proptest! {
    /// Whatever becomes of a file, there is a configuration or a reason why not.
    #[test]
    fn no_file_is_refused_without_a_reason(
        at in any::<proptest::sample::Index>(),
        cut in 0..40_usize,
        put in "[ -~\\n\\t\u{e9}]{0,4}",
    ) {
        let sample: Vec<char> = super::sample::everything(&super::sample::sample()).chars().collect();
        let start = at.index(sample.len());
        let end = sample.len().min(start + cut);
        let mut text: String = sample[..start].iter().collect();
        text.push_str(&put);
        text.extend(&sample[end..]);
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.is_empty());
            let shown = problems.show(Paint::Colour);
            prop_assert!(problems.iter().all(|p| !p.message.is_empty() && !p.remedy.is_empty()));
            prop_assert!(shown.ends_with("in the configuration"));
        }
    }
}
