//! Files with mistakes: each is told, once, with its place.

use super::MINIMAL;
use super::found;
use super::parse;
use super::problem;

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = "\
registry:
  name: https://registry.example.com
  upstraem: http://127.0.0.1:5000
  layout: plane
identities:
  client:
    files: { certificate: tls.crt }
listeners:
  - { address: \"0.0.0.0:5443\", serve: [registry], identity: registri }
endpoints:
  - name: one
    url: http://build.example.com/hook
    dialect: distributon
    timeout: 10
    sign: { secret_file: no-such-file }
  - name: one
    url: https://build.example.com/hook
    when:
      kinds: [images, index]
      repositories: [\"team/[\"]
      untagged: 'yes'
    concurrency: {}
    sekret: x
  - url: https://u:hunter2@build.example.com/hook
    rate: ${RATE}
outbox: [pass]
outbox: { on_failure: pass }
";
    let problems = parse(text).unwrap_err();
    let expected = [
        (2, 9, "registry.name", "leave the scheme out: `registry.example.com`"),
        (3, 3, "registry.upstraem", "did you mean `upstream`?"),
        (4, 11, "registry.layout", "use one of `plain` and `artifactory`"),
        (7, 12, "identities.client.files.key", "the key `key` is missing"),
        (9, 61, "listeners[0].identity", "there is no identity `registri`"),
        (12, 10, "endpoints[0].url", "`http://build.example.com/hook` is not encrypted"),
        (13, 14, "endpoints[0].dialect", "did you mean `distribution`?"),
        (14, 14, "endpoints[0].timeout", "say the unit: `10s`"),
        (15, 26, "endpoints[0].sign.secret_file", "/start/etc/no-such-file"),
        (16, 11, "endpoints[1].name", "the endpoint on line 11 is called `one` already"),
        (19, 15, "endpoints[1].when.kinds[0]", "did you mean `image`?"),
        (20, 22, "endpoints[1].when.repositories[0]", "is not a pattern"),
        (21, 17, "endpoints[1].when.untagged", "in quotes is text"),
        (22, 18, "endpoints[1].concurrency", "this is a mapping => write a whole number"),
        (23, 5, "endpoints[1].sekret", "there is no key `sekret` here"),
        (24, 5, "endpoints[2].name", "the key `name` is missing"),
        (24, 10, "endpoints[2].url", "names a user"),
        (25, 11, "endpoints[2].rate", "nothing is put in for `${…}`"),
        (26, 9, "outbox", "this is not a mapping"),
        (27, 1, "outbox", "was given on line 26 already"),
    ];
    let found = found(&problems);
    for (found, (line, column, key, words)) in found.iter().zip(expected) {
        assert_eq!((found.0, found.1, found.2.as_str()), (line, column, key), "{}", found.3);
        assert!(found.3.contains(words), "{key}: {}", found.3);
    }
    assert_eq!(found.len(), expected.len(), "{problems}");
    let shown = problems.to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("20 problems in the configuration"));
    let caret = " --> etc/pushbell.yaml:19:15 (endpoints[1].when.kinds[0])\n   |\n\
                 19 |       kinds: [images, index]\n   |               ^^^^^^\n";
    assert!(shown.contains(caret), "{shown}");
}

#[test]
fn mistakes_in_a_layout() {
    for (keys, column, key, words) in [
        ("layout: maven", 43, "registry.layout", "`plain`"),
        ("artifactory: {}", 48, "registry.artifactory", "write `layout: artifactory`"),
        (
            "layout: artifactory, artifactory: { method: port }",
            69,
            "registry.artifactory.repository_key",
            "write `repository_key: docker-local`",
        ),
        (
            "layout: artifactory, artifactory: { method: host }",
            79,
            "registry.artifactory.method",
            "use one of `repository-path`",
        ),
        (
            "layout: artifactory, artifactory: { repository_key: a/b }",
            87,
            "registry.artifactory.repository_key",
            "letters, digits",
        ),
    ] {
        let text = format!("registry: {{ upstream: \"http://h\", {keys} }}\n");
        let problems = parse(&text).unwrap_err();
        let found = found(&problems);
        assert_eq!(found.len(), 1, "{problems}");
        assert_eq!((found[0].1, found[0].2.as_str()), (column, key), "{problems}");
        assert!(found[0].3.contains(words), "{problems}");
    }
}

#[test]
fn one_mistake_is_one_problem() {
    for (rest, line, column, key, words) in [
        ("acme: 1\n", 2, 1, "acme", "the keys are `registry`, `identities`,"),
        ("watch: []\n", 2, 1, "watch", "not of this version yet"),
        ("watch: []\n", 2, 1, "watch", "not of this version yet"),
        (
            "state: { postgres_url_file: x }\n",
            2,
            10,
            "state.postgres_url_file",
            "not of this version",
        ),
        ("outbox: { intent: yes }\n", 2, 19, "outbox.intent", "no way to keep intents"),
        (
            "outbox: { intent: off, on_failure: reject }\n",
            2,
            19,
            "outbox.intent",
            "nothing can be refused in time",
        ),
        ("settle: { first_look: 20m }\n", 2, 23, "settle.first_look", "before the first look"),
        ("admin: { token_file: x }\n", 2, 22, "admin.token_file", "/start/etc/x"),
        ("admin: { token_env: SECRET }\n", 2, 21, "admin.token_env", "openssl rand -hex 32"),
        (
            "identities: { a: { files: { certificate: c, key: k }, acme: { directory: \"https://h/\", names: [x] } } }\n",
            2,
            27,
            "identities.a.files",
            "one of `local_ca`, `acme` and `files`",
        ),
        ("identities: { a: {} }\n", 2, 18, "identities.a", "where the identity `a` comes from"),
        (
            "identities: { a/b: { local_ca: { names: [x] } } }\n",
            2,
            15,
            "identities.a/b",
            "no name for",
        ),
        (
            "identities: { ca: { local_ca: { names: [x] } } }\n",
            2,
            15,
            "identities.ca",
            "its files are",
        ),
        (
            "identities: { a: { local_ca: { names: [] } } }\n",
            2,
            39,
            "identities.a.local_ca.names",
            "[registry.example.com]",
        ),
        (
            "identities: { a: { local_ca: { names: [\"a:1\"] } } }\n",
            2,
            40,
            "identities.a.local_ca.names[0]",
            "not for ports => write `a`",
        ),
        (
            "identities: { a: { local_ca: { names: [a] }, files: { certificate: a, key: b } } }\n",
            2,
            53,
            "identities.a.files",
            "keep one",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry, hooks] }]\n",
            2,
            24,
            "listeners[0].address",
            "no source that could speak",
        ),
        (
            "sources: [{ name: a, kind: distribution, insecure_anonymous: true }]\n",
            2,
            10,
            "sources",
            "no listener serves `hooks`",
        ),
        (
            "sources: [{ name: a, kind: distribution }]\n",
            2,
            11,
            "sources[0].auth",
            "anybody could speak",
        ),
        (
            "sources: [{ name: proxy, kind: distribution, insecure_anonymous: true }]\n",
            2,
            19,
            "sources[0].name",
            "a witness of our own",
        ),
        (
            "sources: [{ name: a, kind: distributoin, insecure_anonymous: true }]\n",
            2,
            28,
            "sources[0].kind",
            "did you mean `distribution`?",
        ),
        ("match: { hold: 1s }\n", 2, 8, "match", "there are no sources"),
        ("ingest: { mode: evidence }\n", 2, 9, "ingest", "there are no sources"),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [] }]\n",
            2,
            46,
            "listeners[0].serve",
            "nothing is served",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [admin] }]\n",
            2,
            12,
            "listeners",
            "no listener serves the registry",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry] }, { address: \"127.0.0.1:2\", serve: [admin], proxy_protocol: true }]\n",
            2,
            118,
            "listeners[1].proxy_protocol",
            "a listener for operators",
        ),
        (
            "listeners: [{ address: \"192.0.2.1:1\", serve: [registry] }]\n",
            2,
            24,
            "listeners[0].address",
            "plain HTTP at `192.0.2.1:1`",
        ),
        (
            "listeners: [{ address: \"unix:/run/p.sock\", serve: [registry] }]\n",
            2,
            24,
            "listeners[0].address",
            "the registry needs a name",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry] }, { address: \"127.0.0.1:1\", serve: [admin] }]\n",
            2,
            71,
            "listeners[1].address",
            "listened on already, at etc/pushbell.yaml:2:24",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry], trusted_proxies: [10.0.0.1/8] }]\n",
            2,
            76,
            "listeners[0].trusted_proxies[0]",
            "`10.0.0.0/8`",
        ),
        (
            "log: { level: loud }\n",
            2,
            15,
            "log.level",
            "`error`, `warn`, `info`, `debug` and `trace`",
        ),
        ("log: { format }\n", 2, 8, "log.format", "there is no value => write `text` or `json`"),
        ("log: text\n", 2, 6, "log", "this is not a mapping"),
        ("log: !include x.yaml\n", 2, 15, "log", "the tag `!include` is not understood"),
        ("log: &log { level: info }\nadmin: { <<: *log }\n", 3, 10, "admin.<<", "merge keys"),
        ("? [a]\n: b\n", 2, 3, "", "a key must be one word"),
        ("endpoints: { name: a }\n", 2, 12, "endpoints", "this is not a list"),
        ("limits: { idle: 1.5s }\n", 2, 17, "limits.idle", "`1.5s` is no duration"),
        ("limits: { idle: 0s }\n", 2, 17, "limits.idle", "the duration is zero"),
        ("limits: { manifest_copy: 4MB }\n", 2, 26, "limits.manifest_copy", "write `4MiB`"),
        (
            "limits: { manifest_copy: 65MiB }\n",
            2,
            26,
            "limits.manifest_copy",
            "larger than all copies",
        ),
        ("limits: { connections: 0 }\n", 2, 24, "limits.connections", "write at least `1`"),
        ("limits: { connections: \"5\" }\n", 2, 24, "limits.connections", "in quotes is text"),
        ("limits: { handshake_timeout: 5s }\n", 2, 11, "limits.handshake_timeout", "the keys are"),
        ("log: { level: info, level: debug }\n", 2, 21, "log.level", "given on line 2 already"),
        ("outbox: { max_disk: 1MiB }\n", 2, 21, "outbox.max_disk", "at least `256MiB`"),
        ("outbox: { max_owed: 0 }\n", 2, 21, "outbox.max_owed", ""),
        ("state: { directory: ~/x }\n", 2, 21, "state.directory", "not expanded"),
    ] {
        let (l, c, k, message) = problem(&format!("{MINIMAL}{rest}"));
        assert_eq!((l, c, k.as_str()), (line, column, key), "{rest}{message}");
        assert!(message.contains(words), "{rest}{message}");
    }
}

#[test]
fn one_mistake_in_an_endpoint_is_one_problem() {
    for (rest, column, key, words) in [
        (
            "dialect: native, preset: build-service-docker",
            36,
            "dialect",
            "speaks `distribution`, not `native`",
        ),
        ("dialect: cloudevent", 36, "dialect", "`cloudevents-binary`"),
        ("preset: build-service", 35, "preset", "`build-service-docker`"),
        ("dialect: template", 36, "dialect", "there is none"),
        (
            "dialect: keel, template: { body: x }",
            52,
            "template",
            "of no use with the dialect `keel`",
        ),
        ("template: {}", 37, "template", "there is no body"),
        ("template: { body: \"{{ repo }}\" }", 45, "template.body", "the body, line 1: undefined"),
        ("latest_only: maybe", 40, "latest_only", "write `true`"),
        ("when: { actions: [] }", 44, "when.actions", "no event is in an empty list"),
        ("when: { kinds: [] }", 42, "when.kinds", "no event is in an empty list"),
        ("when: { tags: [\"a\", \"!\"] }", 47, "when.tags[1]", "it is empty"),
        ("when: { actions: [pushed] }", 45, "when.actions[0]", "did you mean `push`?"),
        ("tls: { identity: nobody }", 44, "tls.identity", "there is no identity `nobody`"),
        ("tls: { ca_file: x }", 34, "tls.ca_file", "the keys are `ca` and `identity`"),
        ("sign: {}", 33, "sign.secret_file", "neither `secret_file` nor `secret_env`"),
        ("sign: { secret: x }", 35, "sign.secret", "would be a secret in the configuration"),
        ("sign: { secret_env: NOPE }", 47, "sign.secret_env", "`NOPE` is not set"),
        ("sign: { secret_env: SECRET, secret_file: x }", 47, "sign.secret_env", "both"),
        (
            "sign: { secret_env: SECRET, scheme: bearr }",
            63,
            "sign.scheme",
            "did you mean `bearer`?",
        ),
        (
            "sign: { secret_env: SECRET, username: a }",
            65,
            "sign.username",
            "of no use with `standard-webhooks` => remove it; `standard-webhooks` works with a `secret_file`",
        ),
        ("sign: { scheme: basic, secret_env: SECRET }", 33, "sign.username", "`username: ci`"),
        (
            "sign: { scheme: basic, secret_env: SECRET, username: \"a:b\" }",
            80,
            "sign.username",
            "cannot be sent",
        ),
        (
            "sign: { scheme: flux-hmac, secret_env: SECRET, algorithm: sha1 }",
            85,
            "sign.algorithm",
            "`sha256` and `sha512`",
        ),
        (
            "sign: { scheme: shared-header, secret_env: SECRET, header: Host }",
            86,
            "sign.header",
            "set by us",
        ),
        (
            "sign: { scheme: query-secret, secret_env: SECRET, parameter: \"a=b\" }",
            88,
            "sign.parameter",
            "`webhook_token`",
        ),
        ("sign: { scheme: oidc }", 33, "sign.token_file", "`token_file: /var/run"),
        (
            "sign: { scheme: oidc, token_file: t, secret_env: SECRET }",
            76,
            "sign.secret_env",
            "works with a `token_file`",
        ),
        ("sign: { scheme: http-message-signatures }", 33, "sign.identity", "`identity: client`"),
        (
            "sign: { scheme: http-message-signatures, identity: x }",
            78,
            "sign.identity",
            "there is no identity `x`",
        ),
        ("sign: { secret_file: / }", 48, "sign.secret_file", "directory"),
        ("headers: { Authorization: Bearer x }", 38, "headers.Authorization", "would be a secret"),
        ("headers: { Host: x }", 38, "headers.Host", "set by us"),
        ("headers: { \"a b\": x }", 38, "headers.a b", "no name of a header"),
        ("headers: { a: x, A: y }", 44, "headers.A", "case makes no difference"),
        ("headers: { a: é }", 41, "headers.a", "visible ASCII"),
        ("names: { prefix: /a }", 44, "names.prefix", "write components such as `team`"),
        ("names: { registry: x }", 46, "names.registry", "Docker Hub"),
        ("timeout: 31m", 36, "timeout", "at most `30m`"),
        ("concurrency: 5000", 40, "concurrency", "at most `1024`"),
        ("rate: 50", 33, "rate", "`50/s`"),
        ("insecure_http: yes", 42, "insecure_http", "write `true`"),
        ("timeout: ", 27, "timeout", "there is no value"),
    ] {
        let text = format!("{MINIMAL}endpoints: [{{ name: a, url: \"https://h/\",\n  {rest} }}]\n");
        let (line, c, k, message) = problem(&text);
        // The column is that of a line which begins with the endpoint's other keys.
        let (column, key) = (column - 24, format!("endpoints[0].{key}"));
        assert_eq!((line, c, k.as_str()), (3, column, key.as_str()), "{rest}: {message}");
        assert!(message.contains(words), "{rest}: {message}");
    }
}

#[test]
fn what_stands_for_nothing_in_a_url_is_found() {
    for (url, words) in [
        ("https://h/{repo}", "in the place of `{repo}`"),
        ("https://h/?tag={tag", "no other one"),
        ("https://h/?filter={a:1}", "there are `{action}`, `{registry}`"),
        ("https://{tag}.example.com/", "`{tag}.example.com`"),
    ] {
        let text = format!("{MINIMAL}endpoints: [{{ name: a, url: \"{url}\" }}]\n");
        let (_, _, key, message) = problem(&text);
        assert_eq!(key, "endpoints[0].url", "{message}");
        assert!(message.contains(words), "{url}: {message}");
    }
}

#[test]
fn one_mistake_in_the_registry_is_one_problem() {
    for (text, column, key, words) in [
        ("registry: { name: a.b }", 0, "registry.upstream", "is missing in etc/pushbell.yaml"),
        ("registri: { upstream: \"http://h\" }", 1, "registri", "did you mean `registry`?"),
        ("registry: 5", 11, "registry", "this is not a mapping"),
        ("registry: { upstream: 5000 }", 23, "registry.upstream", "has no scheme"),
        (
            "registry: { upstream: \"http://h\", upstream_tls: { ca: x } }",
            49,
            "registry.upstream_tls",
            "of no use",
        ),
        (
            "registry: { upstream: \"https://h\", look: { username: a } }",
            42,
            "registry.look.password_file",
            "neither",
        ),
        (
            "registry: { upstream: \"https://h\", look: { password_env: SECRET } }",
            42,
            "registry.look.username",
            "is missing",
        ),
        (
            "registry: { upstream: \"https://h\", look: { username: \"a:b\", password_env: SECRET } }",
            54,
            "registry.look.username",
            "cannot be sent",
        ),
    ] {
        let (_, c, k, message) = problem(text);
        assert_eq!((c, k.as_str()), (column, key), "{text}: {message}");
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn a_proxy_is_a_host_and_its_password_is_not_shown_to_the_network() {
    let endpoint = |proxy: &str| {
        format!("{MINIMAL}endpoints: [{{ name: a, url: \"https://h/\", proxy: {{ {proxy} }} }}]\n")
    };
    let account = "username: us, password_env: SECRET";
    for good in [
        "url: \"http://proxy:3128\"".to_owned(),
        format!("url: \"http://127.0.0.1:3128\", {account}"),
        format!("url: \"http://[::1]:3128/\", {account}"),
        format!("url: \"https://proxy.example.com\", {account}, ca: ca.pem"),
        format!("url: \"http://proxy:3128\", {account}, insecure_http: true"),
    ] {
        parse(&endpoint(&good)).expect(&good);
    }
    for (bad, key, words) in [
        ("username: us", "url", "is missing"),
        ("url: \"proxy:3128\"", "url", "https://build.example.com/hook"),
        ("url: \"http://proxy/path\"", "url", "more than a host and a port"),
        ("url: \"http://us:hunter2@proxy\"", "url", "before the `@`"),
        ("url: \"http://169.254.169.254:80\"", "url", "metadata services live, and never dialled"),
        (
            "url: \"http://proxy:3128\", username: us, password_env: SECRET",
            "url",
            "would show the password",
        ),
        (
            "url: \"http://proxy:3128\", username: us",
            "password_file",
            "neither `password_file` nor",
        ),
        ("url: \"http://proxy:3128\", password_env: SECRET", "username", "is missing"),
        ("url: \"http://proxy:3128\", ca: ca.pem", "ca", "of no use"),
    ] {
        let problems = parse(&endpoint(bad)).expect_err(bad);
        let found = found(&problems);
        let whole = format!("endpoints[0].proxy.{key}");
        let one = found.iter().find(|(_, _, key, _)| *key == whole);
        let told = &one.unwrap_or_else(|| panic!("{bad}: {found:?}")).3;
        assert!(told.contains(words) && !told.contains("hunter2"), "{bad}: {told}");
    }
}

#[test]
fn an_identity_of_a_ca_is_for_names_of_listeners_that_the_ca_can_reach() {
    let whole = |acme: &str, listeners: &str| {
        format!(
            "registry: {{ name: r.example.com, upstream: \"http://127.0.0.1:5000\" }}\n\
             identities: {{ public: {{ acme: {{ {acme} }} }} }}\n\
             listeners:\n  - {{ address: \"0.0.0.0:443\", serve: [registry], identity: public }}\n{listeners}"
        )
    };
    let good = "directory: \"https://ca.example/dir\", names: [r.example.com]";
    let http = "  - { address: \"0.0.0.0:80\", serve: [acme] }\n";
    parse(&whole(good, "")).unwrap();
    parse(&whole(&format!("{good}, challenge: http-01"), http)).unwrap();
    parse(&whole(&format!("{good}, external_account: {{ key_id: x, key_env: SECRET }}"), ""))
        .expect_err("`whsec_x` is not base64 of whole bytes");
    for (acme, listeners, key, words) in [
        ("names: [r.example.com]", "", "identities.public.acme.directory", "is missing"),
        (
            "directory: \"http://ca.example/dir\", names: [r.example.com]",
            "",
            "identities.public.acme.directory",
            "https://",
        ),
        (
            "directory: \"https://ca.example/dir\", names: [\"*.example.com\"]",
            "",
            "identities.public.acme.names[0]",
            "without changes to DNS",
        ),
        (
            "directory: \"https://ca.example/dir\", names: [192.0.2.7]",
            "",
            "identities.public.acme.names[0]",
            "is an address",
        ),
        (
            "directory: \"https://ca.example/dir\", names: [r.example.com], contact: ops",
            "",
            "identities.public.acme.contact",
            "is no mail address",
        ),
        (
            "directory: \"https://ca.example/dir\", names: [r.example.com], challenge: dns-01",
            "",
            "identities.public.acme.challenge",
            "`http-01`",
        ),
        (
            "directory: \"https://ca.example/dir\", names: [r.example.com], challenge: http-01",
            "",
            "identities.public",
            "serve: [acme]",
        ),
        (good, http, "listeners[1].address", "no identity says `challenge: http-01`"),
        (
            "directory: \"https://ca.example/dir\", names: [r.example.com], challenge: http-01",
            "  - { address: \"127.0.0.1:80\", serve: [acme, admin] }\n",
            "listeners[1].address",
            "served alone",
        ),
    ] {
        let found = problem(&whole(acme, listeners));
        assert_eq!(found.2, key, "{}", found.3);
        assert!(found.3.contains(words), "{acme}: {}", found.3);
    }
    let unused = whole(good, "").replace("identity: public", "identity: other").replace(
        "identities: { ",
        "identities: { other: { local_ca: { names: [r.example.com] } }, ",
    );
    assert!(problem(&unused).3.contains("no listener shows the identity `public`"));
    // As a client, it may be for nothing else, where the CA needs no listener that shows it.
    let client =
        "endpoints: [{ name: a, url: \"https://h/\", tls: { identity: public } }]\n".to_owned();
    parse(&(whole(good, "") + &client)).unwrap();
    assert!(problem(&(unused.clone() + &client)).3.contains("no listener shows the identity"));
    let by_file = unused.replace(good, &format!("{good}, challenge: http-01")) + http + &client;
    parse(&by_file).unwrap();
    let empty = whole(good, "").replace("identity: public", "identity: []");
    assert!(parse(&empty).unwrap_err().to_string().contains("this list is empty"));
}
