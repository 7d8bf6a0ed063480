use std::os::unix::fs::symlink;
use std::time::Duration;
use std::time::Instant;

use super::*;

/// A root, an intermediate, and chains of the two: a new leaf each time.
struct Chains {
    intermediate: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Chains {
    fn new() -> Self {
        let authority = |name: &str| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            (params, rcgen::KeyPair::generate().unwrap())
        };
        let (root, root_key) = authority("root");
        let root = rcgen::Issuer::new(root, root_key);
        let (params, key) = authority("intermediate");
        let pem = params.signed_by(&key, &root).unwrap().pem();
        Self { intermediate: rcgen::Issuer::new(params, key), pem }
    }

    /// The chain and the key.
    fn leaf(&self, hosts: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(names(hosts)).unwrap();
        let leaf = leaf.signed_by(&key, &self.intermediate).unwrap();
        (leaf.pem() + &self.pem, key.serialize_pem())
    }
}

fn for_names(wanted: &[&str]) -> Wanted {
    Wanted { names: names(wanted), purposes: Vec::new() }
}

/// Files in use, and a clock that goes where it is told.
struct Scene {
    folder: TempDir,
    watched: Watched,
    at: Instant,
}

impl Scene {
    fn new((chain, key): &(String, String), wanted: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = pair(&folder, chain, key);
        let identity = Identity::load("x", &chain, &key, now()).unwrap();
        let mut scene =
            Self { folder, watched: Watched::new(identity, for_names(wanted)), at: Instant::now() };
        assert!(matches!(scene.look(0), Found::Nothing));
        scene
    }

    /// Looks after so many seconds.
    fn look(&mut self, seconds: u64) -> Found<Identity> {
        self.at += Duration::from_secs(seconds);
        self.watched.look(Asked::BySchedule, self.at, now())
    }

    /// Looks every second for so long, and yields everything it was told.
    fn wait(&mut self, seconds: u64) -> Vec<Found<Identity>> {
        let found = (0..seconds).map(|_| self.look(1));
        found.filter(|found| !matches!(found, Found::Nothing)).collect()
    }

    fn in_use(&self) -> Vec<u8> {
        self.watched.current().unwrap().certified_key().cert[0].to_vec()
    }
}

#[test]
fn files_cut_at_any_byte_leave_what_is_in_use_and_are_told_once() {
    let chains = Chains::new();
    let (old, new) = (chains.leaf(&["a.example"]), chains.leaf(&["a.example"]));
    let mut scene = Scene::new(&old, &["a.example"]);
    let before = scene.in_use();
    // The last line end is no part of what is in a file.
    let cuts = (0..new.0.len() - 1).map(|cut| (&new.0.as_bytes()[..cut], new.1.as_bytes()));
    let of_key = (0..new.1.len() - 1).map(|cut| (new.0.as_bytes(), &new.1.as_bytes()[..cut]));
    for (chain, key) in cuts.chain(of_key) {
        pair(&scene.folder, chain, key);
        let told = scene.wait(15);
        assert!(matches!(&told[..], [Found::Refused(_)]), "{}: {told:?}", chain.len());
        assert!(scene.watched.is_refused());
        assert_eq!(scene.in_use(), before, "{} {}", chain.len(), key.len());
    }
    pair(&scene.folder, &new.0, &new.1);
    let told = scene.wait(15);
    assert!(matches!(&told[..], [Found::Fresh(_)]), "{told:?}");
    assert_ne!(scene.in_use(), before);
}

#[test]
fn two_halves_that_come_one_by_one_are_taken_together() {
    let chains = Chains::new();
    let (old, new) = (chains.leaf(&["a.example"]), chains.leaf(&["a.example"]));
    for key_first in [true, false] {
        let mut scene = Scene::new(&old, &[]);
        let (chain, key) = if key_first { (&old.0, &new.1) } else { (&new.0, &old.1) };
        pair(&scene.folder, chain, key);
        assert!(scene.wait(8).is_empty(), "nobody is told of what is on its way");
        pair(&scene.folder, &new.0, &new.1);
        assert!(matches!(scene.look(0), Found::Nothing), "files must rest");
        assert!(matches!(scene.look(1), Found::Fresh(_)));
        assert!(scene.wait(30).is_empty());
    }
}

#[test]
fn a_symbolic_link_that_turns_is_a_change() {
    let chains = Chains::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let version = |name: &str| {
        let (chain, key) = chains.leaf(&["a.example"]);
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("tls.crt"), chain).unwrap();
        fs::write(path(name).join("tls.key"), key).unwrap();
        fs::set_permissions(path(name).join("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(name, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    version("..1");
    symlink("..data/tls.crt", path("tls.crt")).unwrap();
    symlink("..data/tls.key", path("tls.key")).unwrap();
    let identity = Identity::load("x", &path("tls.crt"), &path("tls.key"), now()).unwrap();
    let mut scene = Scene {
        folder: tempfile::tempdir().unwrap(),
        watched: Watched::new(identity, Wanted::default()),
        at: Instant::now(),
    };
    assert!(scene.wait(3).is_empty());
    for name in ["..2", "..3"] {
        version(name);
        assert!(matches!(&scene.wait(3)[..], [Found::Fresh(_)]), "{name}");
    }
}

#[test]
fn what_is_worse_than_what_is_in_use_is_refused() {
    let chains = Chains::new();
    let old = chains.leaf(&["a.example", "b.example"]);
    let other = chains.leaf(&["b.example"]);
    let leaf_alone = {
        let (chain, key) = chains.leaf(&["a.example"]);
        (chain.replace(&chains.pem, ""), key)
    };
    for (new, told) in [
        (&other, "is not for a.example, as the one in use is, but for b.example"),
        (&leaf_alone, "CN=intermediate is missing"),
    ] {
        // The name that nobody covers is not asked for.
        let mut scene = Scene::new(&old, &["a.example", "c.example"]);
        pair(&scene.folder, &new.0, &new.1);
        match &scene.wait(15)[..] {
            [Found::Refused(error)] => assert!(error.to_string().contains(told), "{error}"),
            other => panic!("{other:?}"),
        }
        pair(&scene.folder, &old.0, &old.1);
        assert!(scene.wait(15).is_empty() && !scene.watched.is_refused());
    }
}

#[test]
fn cas_are_taken_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let pem = |name: &str| {
        ca_in(&folder, name, &[]);
        fs::read_to_string(folder.path().join(name).join("ca.pem")).unwrap()
    };
    let (old, new) = (pem("old"), pem("new"));
    let path = folder.path().join("trusted.pem");
    fs::write(&path, &old).unwrap();
    let current = Trust::file(&path).unwrap();
    let mut watched = WatchedTrust::new(Some(path.clone()), current.clone());
    let mut at = Instant::now();
    let mut wait = |watched: &mut WatchedTrust, seconds: u64| -> Vec<Found<Trust>> {
        let found = (0..seconds).map(|_| {
            at += Duration::from_secs(1);
            watched.look(Asked::BySchedule, at)
        });
        found.filter(|found| !matches!(found, Found::Nothing)).collect()
    };
    assert!(wait(&mut watched, 2).is_empty());
    for cut in 0..new.len() - 1 {
        fs::write(&path, &new.as_bytes()[..cut]).unwrap();
        let told = wait(&mut watched, 15);
        assert!(matches!(&told[..], [Found::Refused(_)]), "{cut}: {told:?}");
        assert!(watched.is_refused());
    }
    let leaf = ca_in(&folder, "old", &[]).leaf("x", &names(&["localhost"]), now()).unwrap();
    fs::copy(leaf.certificate_path(), &path).unwrap();
    assert!(matches!(&wait(&mut watched, 15)[..], [Found::Refused(Error::NotACa { .. })]));
    fs::write(&path, &old).unwrap();
    assert!(wait(&mut watched, 15).is_empty() && !watched.is_refused(), "it is what is in use");
    fs::write(&path, old.clone() + &new).unwrap();
    match &wait(&mut watched, 15)[..] {
        [Found::Fresh(both)] => assert_eq!((both.count(), both == &current), (2, false)),
        told => panic!("{told:?}"),
    }
}

#[test]
fn a_successor_has_to_be_for_what_it_is_used_for() {
    let key = rcgen::KeyPair::generate().unwrap();
    let of = |usages: &[rcgen::ExtendedKeyUsagePurpose]| {
        let mut leaf = rcgen::CertificateParams::new(names(&["localhost"])).unwrap();
        leaf.extended_key_usages = usages.to_vec();
        (leaf.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let server = of(&[rcgen::ExtendedKeyUsagePurpose::ServerAuth]);
    let both = of(&[
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ]);
    let any = of(&[]);
    let told = |before: &(String, String), after: &(String, String), purpose: Purpose| {
        let mut scene = Scene::new(before, &[]);
        scene.watched = Watched::new(
            scene.watched.current().unwrap().clone(),
            Wanted { names: Vec::new(), purposes: vec![purpose] },
        );
        pair(&scene.folder, &after.0, &after.1);
        scene.wait(15).pop()
    };
    match told(&both, &server, Purpose::Clients) {
        Some(Found::Refused(error)) => assert_eq!(
            error.to_string(),
            "the certificate of the identity x is not for clients: its extended key usage has serverAuth, and \
             lacks clientAuth"
        ),
        other => panic!("{other:?}"),
    }
    assert!(matches!(told(&both, &server, Purpose::Servers), Some(Found::Fresh(_))));
    assert!(matches!(told(&both, &any, Purpose::Clients), Some(Found::Fresh(_))));
    // It never was.
    assert!(matches!(
        told(&server, &of(&[rcgen::ExtendedKeyUsagePurpose::ServerAuth]), Purpose::Clients),
        None | Some(Found::Fresh(_))
    ));
}

#[test]
fn a_key_that_becomes_private_is_taken_without_another_change() {
    let chains = Chains::new();
    let (old, new) = (chains.leaf(&["a.example"]), chains.leaf(&["a.example"]));
    let mut scene = Scene::new(&old, &[]);
    let (_, key) = pair(&scene.folder, &new.0, &new.1);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    match scene.watched.look(Asked::ByOperator, scene.at, now()) {
        Found::Refused(Error::KeyMode { mode: 0o644, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(scene.wait(15).is_empty(), "told once");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(scene.look(1), Found::Fresh(_)));
}
