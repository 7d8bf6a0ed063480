//! How clients come to trust a CA: the text of `pushbell certs trust`.
//!
//! Where each client looks is from its own manual: docker, "Verify repository client with
//! certificates"; containers-certs.d(5) for podman, skopeo, buildah and CRI-O; containerd,
//! "Registry Configuration"; update-ca-certificates(8) and update-ca-trust(8) for whole systems;
//! buildkitd.toml(5) and kaniko's `--registry-certificate` for build services.

use std::path::Path;

/// The commands for every kind of client, to be run as root where the client runs, with the CA's
/// certificate at `ca` and the registry reached as each of `hosts`, `host` or `host:port`.
#[must_use]
pub fn commands(hosts: &[String], ca: &Path) -> String {
    let hosts: Vec<_> = hosts.iter().map(|host| as_typed(host)).collect();
    let ca = quote(&ca.display().to_string());
    [
        "# Each client needs ca.pem on its own machine: copy it there first, and mind the path.\n"
            .to_owned(),
        docker(&hosts, &ca),
        containers(&hosts, &ca),
        containerd(&hosts, &ca),
        nodes(&hosts, &ca),
        build_services(&hosts, &ca),
    ]
    .join("\n")
}

/// A client that speaks to port 443 leaves the port out, and looks for a directory without it.
fn as_typed(host: &str) -> &str {
    host.strip_suffix(":443").unwrap_or(host)
}

fn docker(hosts: &[&str], ca: &str) -> String {
    let title = "# docker: read at each connection, no restart needed\n";
    title.to_owned() + &each(hosts, |host| install(ca, &format!("/etc/docker/certs.d/{host}")))
}

fn containers(hosts: &[&str], ca: &str) -> String {
    let title = "# podman, skopeo, buildah, CRI-O: read at each connection; \
                 without root below ~/.config/containers/certs.d\n";
    title.to_owned() + &each(hosts, |host| install(ca, &format!("/etc/containers/certs.d/{host}")))
}

fn containerd(hosts: &[&str], ca: &str) -> String {
    let mut text = String::from(
        "# containerd: hosts.toml is read at each connection, config.toml at the start\n",
    );
    text += &each(hosts, |host| {
        let directory = format!("/etc/containerd/certs.d/{host}");
        let file = quote(&format!("{directory}/hosts.toml"));
        // Not below `[host]`: then the server is asked again without the CA for all that it does not have,
        // and a missing image looks like a certificate that nobody trusts.
        let hosts_toml = format!("server = \"https://{host}\"\nca = \"{directory}/ca.crt\"\n");
        format!("{}cat > {file} <<'EOF'\n{hosts_toml}EOF\n", install(ca, &directory))
    });
    text += "\
# and once in /etc/containerd/config.toml, then `systemctl restart containerd`:
#   containerd 1:  [plugins.\"io.containerd.grpc.v1.cri\".registry]
#   containerd 2:  [plugins.'io.containerd.cri.v1.images'.registry]
#                    config_path = \"/etc/containerd/certs.d\"
";
    text
}

fn nodes(hosts: &[&str], ca: &str) -> String {
    let name = hosts.first().map_or_else(|| "registry".to_owned(), |host| file_name(host));
    let mut text = format!(
        "\
# Kubernetes nodes: as for containerd or CRI-O above, on every node; or for the whole system
# on Debian, Ubuntu:
cp {ca} {}
update-ca-certificates
systemctl restart containerd
# on Fedora, RHEL and their like:
cp {ca} {}
update-ca-trust
systemctl restart crio
# on k3s and RKE2, in /etc/rancher/k3s/registries.yaml (rke2/registries.yaml), then restart the service:
",
        quote(&format!("/usr/local/share/ca-certificates/pushbell-{name}.crt")),
        quote(&format!("/etc/pki/ca-trust/source/anchors/pushbell-{name}.crt")),
    );
    text += "#   configs:\n";
    for host in hosts {
        text += &format!("#     \"{host}\":\n#       tls: {{ ca_file: {} }}\n", yaml_path(ca));
    }
    text
}

fn build_services(hosts: &[&str], ca: &str) -> String {
    let mut text = format!(
        "\
# a build service in Kubernetes: give its pods the certificate, and let SSL_CERT_FILE name it
# (beside it, those pods trust no public CA: append ca.pem to a copy of the system's bundle if they need both)
kubectl create configmap pushbell-ca --from-file=ca.crt={ca}
#   env:          [{{ name: SSL_CERT_FILE, value: /etc/pushbell-ca/ca.crt }}]
#   volumeMounts: [{{ name: pushbell-ca, mountPath: /etc/pushbell-ca, readOnly: true }}]
#   volumes:      [{{ name: pushbell-ca, configMap: {{ name: pushbell-ca }} }}]
# a build service in Java: into the trust store of its runtime
keytool -importcert -noprompt -cacerts -storepass changeit -alias pushbell -file {ca}
# kaniko, one option for each host:
"
    );
    for host in hosts {
        text += &format!("#   --registry-certificate {host}=/etc/pushbell-ca/ca.crt\n");
    }
    text += "# BuildKit, in /etc/buildkit/buildkitd.toml:\n";
    for host in hosts {
        text += &format!("#   [registry.\"{host}\"]\n#     ca = [\"/etc/pushbell-ca/ca.crt\"]\n");
    }
    text
}

fn each(hosts: &[&str], commands: impl Fn(&str) -> String) -> String {
    hosts.iter().map(|host| commands(host)).collect()
}

fn install(ca: &str, directory: &str) -> String {
    format!("mkdir -p {}\ncp {ca} {}\n", quote(directory), quote(&format!("{directory}/ca.crt")))
}

/// One word for a POSIX shell.
#[must_use]
pub fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:@%+=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path for YAML, out of its form for the shell: quoted there, it is quoted here.
fn yaml_path(quoted: &str) -> String {
    quoted.replace(r"'\''", "''")
}

fn file_name(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_told_for_every_host() {
        let hosts = ["registry.example.com:443".to_owned(), "localhost:5443".to_owned()];
        let text = commands(&hosts, Path::new("/var/lib/pushbell/certs/ca.pem"));
        for line in [
            "mkdir -p /etc/docker/certs.d/localhost:5443",
            "cp /var/lib/pushbell/certs/ca.pem /etc/docker/certs.d/localhost:5443/ca.crt",
            "cp /var/lib/pushbell/certs/ca.pem /etc/docker/certs.d/registry.example.com/ca.crt",
            "cp /var/lib/pushbell/certs/ca.pem /etc/containers/certs.d/localhost:5443/ca.crt",
            "cat > /etc/containerd/certs.d/localhost:5443/hosts.toml <<'EOF'",
            "server = \"https://registry.example.com\"",
            "server = \"https://localhost:5443\"",
            "ca = \"/etc/containerd/certs.d/localhost:5443/ca.crt\"",
            "#                    config_path = \"/etc/containerd/certs.d\"",
            "cp /var/lib/pushbell/certs/ca.pem /usr/local/share/ca-certificates/pushbell-registry.example.com.crt",
            "update-ca-certificates",
            "kubectl create configmap pushbell-ca --from-file=ca.crt=/var/lib/pushbell/certs/ca.pem",
            "#   --registry-certificate localhost:5443=/etc/pushbell-ca/ca.crt",
            "#   [registry.\"registry.example.com\"]",
            "#       tls: { ca_file: /var/lib/pushbell/certs/ca.pem }",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n---\n{text}");
        }
        assert!(!text.contains(":443/"), "{text}");
    }

    #[test]
    fn a_path_with_a_space_stays_one_word() {
        let text = commands(&["[::1]:5443".to_owned()], Path::new("/srv/it's here/ca.pem"));
        assert!(
            text.contains(r"cp '/srv/it'\''s here/ca.pem' '/etc/docker/certs.d/[::1]:5443/ca.crt'")
        );
        assert!(text.contains("tls: { ca_file: '/srv/it''s here/ca.pem' }"));
        assert!(text.contains("pushbell----1--5443.crt"));
    }
}
