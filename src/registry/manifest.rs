use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Digest;
use super::MediaType;
use super::Tag;

/// The few fields of a manifest that an event tells.
///
/// A manifest is a stranger's document: each field is read by itself, and one of the wrong type is as
/// good as absent. What the fields mean is in the OCI image specification, `manifest.md` and
/// `image-index.md`, and for Docker's older forms in its "Image Manifest V 2, Schema 2".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The document's own `mediaType`.
    pub media_type: Option<MediaType>,
    /// `artifactType`, or for want of it the config's media type where that says what the artifact is.
    pub artifact_type: Option<MediaType>,
    /// The media type of the config descriptor.
    pub config_media_type: Option<MediaType>,
    /// The digest of the manifest that this one refers to.
    pub subject: Option<Digest>,
    /// What the config and all layers weigh, in bytes; unknown for an index.
    pub content_size: Option<u64>,
    /// What an index lists, in its order; at most [`Manifest::MAX_PLATFORMS`].
    pub platforms: Vec<Platform>,
    /// Annotations with text values, while they stay below [`Manifest::MAX_ANNOTATION_BYTES`].
    pub annotations: BTreeMap<String, String>,
    /// Whether every layer is an in-toto statement, as in BuildKit's attestation manifests.
    only_statements: bool,
    /// Whether the document has `manifests`, which only an index has.
    lists_manifests: bool,
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Operating system, `linux`; `unknown` where the entry has no platform.
    pub os: String,
    /// Architecture, `amd64`; `unknown` where the entry has no platform.
    pub architecture: String,
    /// Variant, `v8`.
    pub variant: Option<String>,
    /// The digest of the manifest for this platform.
    pub digest: Digest,
}

/// What a manifest is, for a receiver that wants only some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A container image for one platform.
    Image,
    /// A list of manifests, usually one for each platform.
    Index,
    /// A Helm chart.
    Chart,
    /// A signature of another manifest.
    Signature,
    /// A signed statement about another manifest.
    Attestation,
    /// A software bill of materials.
    Sbom,
    /// Anything else.
    Artifact,
}

/// Bytes that are no JSON object, so nothing can be said of the manifest in them.
#[derive(Debug, thiserror::Error)]
#[error("could not read the manifest")]
pub struct UnreadableManifest {
    source: serde_json::Error,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow)]
    media_type: Option<&'a RawValue>,
    #[serde(borrow)]
    artifact_type: Option<&'a RawValue>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    #[serde(borrow)]
    blobs: Option<&'a RawValue>,
    #[serde(borrow)]
    manifests: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<u64>,
    platform: Option<PlatformDocument>,
}

#[derive(Deserialize)]
struct PlatformDocument {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Manifest {
    /// The most entries of an index that are read; later ones are left out.
    pub const MAX_PLATFORMS: usize = 256;
    /// How many bytes of annotation keys and values are kept; what does not fit is left out.
    pub const MAX_ANNOTATION_BYTES: usize = 64 * 1024;

    /// Reads what an event needs from the bytes of a manifest.
    ///
    /// # Errors
    ///
    /// If the bytes are not one JSON object, or nest deeper than 128 levels.
    pub fn read(bytes: &[u8]) -> Result<Self, UnreadableManifest> {
        let document: Document<'_> =
            serde_json::from_slice(bytes).map_err(|source| UnreadableManifest { source })?;
        let config: Option<Descriptor> = field(document.config);
        let layers: Option<Vec<Descriptor>> = field(document.layers.or(document.blobs));
        let listed: Option<Vec<Descriptor>> = field(document.manifests);
        let subject: Option<Descriptor> = field(document.subject);
        let config_media_type = config.as_ref().and_then(Descriptor::media_type);
        Ok(Self {
            media_type: media_type(document.media_type),
            artifact_type: media_type(document.artifact_type),
            content_size: content_size(config.as_ref(), layers.as_deref()),
            only_statements: layers.as_deref().is_some_and(only_statements),
            lists_manifests: listed.is_some(),
            platforms: platforms(listed.unwrap_or_default()),
            subject: subject.and_then(|s| s.digest?.parse().ok()),
            annotations: annotations(document.annotations),
            config_media_type,
        })
    }

    /// What the manifest is, from its own fields, its media type as pushed, and its tag.
    #[must_use]
    pub fn kind(&self, pushed_as: Option<&MediaType>, tag: Option<&Tag>) -> Kind {
        if let Some(kind) = Kind::of_tag(tag) {
            return kind;
        }
        let is_index = |m: &MediaType| m.is_index();
        if self.media_type.as_ref().or(pushed_as).is_some_and(is_index) || self.lists_manifests {
            return self.artifact_type.as_ref().and_then(Kind::of_type).unwrap_or(Kind::Index);
        }
        let said = self.artifact_type.as_ref().and_then(Kind::of_type);
        let config = self.config_media_type.as_ref().map(MediaType::as_str);
        match (said, config) {
            (Some(kind), _) => kind,
            (None, Some("application/vnd.cncf.helm.config.v1+json")) => Kind::Chart,
            (None, _) if self.only_statements => Kind::Attestation,
            (
                None,
                Some(
                    "application/vnd.oci.image.config.v1+json"
                    | "application/vnd.docker.container.image.v1+json",
                ),
            ) => Kind::Image,
            (None, Some(_)) => {
                self.config_media_type.as_ref().and_then(Kind::of_type).unwrap_or(Kind::Artifact)
            }
            (None, None) => Kind::of_media_type(self.media_type.as_ref().or(pushed_as)),
        }
    }
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Image,
        Self::Index,
        Self::Chart,
        Self::Signature,
        Self::Attestation,
        Self::Sbom,
        Self::Artifact,
    ];

    /// The word for it in events and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Index => "index",
            Self::Chart => "chart",
            Self::Signature => "signature",
            Self::Attestation => "attestation",
            Self::Sbom => "sbom",
            Self::Artifact => "artifact",
        }
    }

    /// Whether such a manifest is about another one: most receivers do not want to hear of it.
    #[must_use]
    pub fn is_about_another(self) -> bool {
        matches!(self, Self::Signature | Self::Attestation | Self::Sbom)
    }

    /// The value a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The kind a manifest has when only its media type is known.
    #[must_use]
    pub fn of_media_type(media_type: Option<&MediaType>) -> Self {
        match media_type.map(MediaType::as_str) {
            Some(
                "application/vnd.docker.distribution.manifest.v1+json"
                | "application/vnd.docker.distribution.manifest.v1+prettyjws"
                | "application/vnd.docker.distribution.manifest.v2+json"
                | "application/vnd.oci.image.manifest.v1+json",
            ) => Self::Image,
            _ if media_type.is_some_and(MediaType::is_index) => Self::Index,
            _ => Self::Artifact,
        }
    }

    /// The kind that a tag of the signing scheme, `sha256-<hex>.sig`, gives away.
    #[must_use]
    pub fn of_tag(tag: Option<&Tag>) -> Option<Self> {
        match tag?.digest_suffix()? {
            "sig" => Some(Self::Signature),
            "att" => Some(Self::Attestation),
            "sbom" => Some(Self::Sbom),
            _ => None,
        }
    }

    /// The kind that an artifact type gives away. The types are those the tools register: cosign and
    /// sigstore, notation, in-toto, SPDX, CycloneDX, syft, Helm.
    fn of_type(media_type: &MediaType) -> Option<Self> {
        let text = media_type.as_str();
        let has = |part: &str| text.contains(part);
        if has("spdx") || has("cyclonedx") || has("syft") || has("sbom") {
            Some(Self::Sbom)
        } else if has("in-toto") || has("dsse") {
            Some(Self::Attestation)
        } else if has("notary.signature") || has("cosign") || has("sigstore") {
            Some(Self::Signature)
        } else if has("helm.config") {
            Some(Self::Chart)
        } else {
            None
        }
    }
}

impl Descriptor {
    fn media_type(&self) -> Option<MediaType> {
        self.media_type.as_deref()?.parse().ok()
    }
}

fn field<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn media_type(raw: Option<&RawValue>) -> Option<MediaType> {
    field::<String>(raw)?.parse().ok()
}

fn content_size(config: Option<&Descriptor>, layers: Option<&[Descriptor]>) -> Option<u64> {
    let layers = layers?;
    // Sizes are a stranger's numbers: a sum that no integer holds is as good as unknown.
    let mut sizes = config.into_iter().chain(layers).map(|descriptor| descriptor.size);
    sizes.try_fold(0_u64, |sum, size| sum.checked_add(size?))
}

fn only_statements(layers: &[Descriptor]) -> bool {
    let statement =
        |d: &Descriptor| d.media_type.as_deref() == Some("application/vnd.in-toto+json");
    !layers.is_empty() && layers.iter().all(statement)
}

fn platforms(listed: Vec<Descriptor>) -> Vec<Platform> {
    let platform = |descriptor: Descriptor| {
        let unknown = || "unknown".to_owned();
        let digest = descriptor.digest?.parse().ok()?;
        let platform = descriptor.platform;
        let (os, architecture, variant) = match platform {
            Some(p) => (p.os, p.architecture, p.variant),
            None => (None, None, None),
        };
        Some(Platform {
            os: os.unwrap_or_else(unknown),
            architecture: architecture.unwrap_or_else(unknown),
            variant: variant.filter(|v| !v.is_empty()),
            digest,
        })
    };
    listed.into_iter().take(Manifest::MAX_PLATFORMS).filter_map(platform).collect()
}

fn annotations(raw: Option<&RawValue>) -> BTreeMap<String, String> {
    let all: BTreeMap<String, serde_json::Value> = field(raw).unwrap_or_default();
    let mut left = Manifest::MAX_ANNOTATION_BYTES;
    let mut kept = BTreeMap::new();
    for (key, value) in all {
        let serde_json::Value::String(value) = value else {
            continue;
        };
        let Some(rest) = left.checked_sub(key.len() + value.len()) else {
            continue;
        };
        left = rest;
        kept.insert(key, value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: &str) -> Digest {
        Digest::sha256(of.as_bytes())
    }

    fn image(config: &str, layers: &str) -> Manifest {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{}","size":7}},"layers":[{layers}]}}"#,
            digest("c")
        );
        Manifest::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_image_tells_its_size_and_kind() {
        let layers = r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"x","size":100},{"size":23}"#;
        let manifest = image("application/vnd.oci.image.config.v1+json", layers);
        assert_eq!(manifest.content_size, Some(130));
        assert_eq!(manifest.kind(None, None), Kind::Image);
    }

    #[test]
    fn sizes_beyond_all_numbers_are_unknown() {
        let layer = format!(r#"{{"size":{}}}"#, u64::MAX);
        let manifest = image("application/vnd.oci.image.config.v1+json", &layer);
        assert_eq!(manifest.content_size, None);
    }

    #[test]
    fn an_index_tells_its_platforms() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
                {{"digest":"{}","size":1,"platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}},
                {{"digest":"{}","size":1}},
                {{"digest":"nonsense","size":1}}],
              "annotations":{{"a":"b","n":3}}}}"#,
            digest("a"),
            digest("b")
        );
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        assert_eq!(manifest.kind(None, None), Kind::Index);
        assert_eq!(manifest.content_size, None);
        let [arm, unknown] = &manifest.platforms[..] else {
            panic!("{:?}", manifest.platforms);
        };
        assert_eq!((&*arm.os, &*arm.architecture), ("linux", "arm64"));
        assert_eq!((arm.variant.as_deref(), &arm.digest), (Some("v8"), &digest("a")));
        assert_eq!((&*unknown.os, &*unknown.architecture), ("unknown", "unknown"));
        assert_eq!(manifest.annotations.len(), 1);
    }

    #[test]
    fn the_kind_follows_config_artifact_type_layers_and_tag() {
        let helm = image("application/vnd.cncf.helm.config.v1+json", "");
        assert_eq!(helm.kind(None, None), Kind::Chart);
        let statement = r#"{"mediaType":"application/vnd.in-toto+json","size":1}"#;
        let attestation = image("application/vnd.oci.image.config.v1+json", statement);
        assert_eq!(attestation.kind(None, None), Kind::Attestation);
        let other = image("application/vnd.oci.empty.v1+json", "");
        assert_eq!(other.kind(None, None), Kind::Artifact);
        let tag: Tag = format!("sha256-{}.sig", "a".repeat(64)).parse().unwrap();
        assert_eq!(other.kind(None, Some(&tag)), Kind::Signature);
        let sbom = Manifest::read(br#"{"artifactType":"application/spdx+json"}"#).unwrap();
        assert_eq!(sbom.kind(None, None), Kind::Sbom);
        let pushed_as = MediaType::MANIFESTS[2].parse().unwrap();
        let bare = Manifest::read(b"{}").unwrap();
        assert_eq!(bare.kind(Some(&pushed_as), None), Kind::Index);
    }

    #[test]
    fn a_field_of_the_wrong_type_is_as_good_as_absent() {
        let text = br#"{"mediaType":3,"layers":"no","config":[],"subject":{"digest":"x"},"annotations":[]}"#;
        assert_eq!(Manifest::read(text).unwrap(), Manifest::default());
        assert!(Manifest::read(b"[]").is_err());
        assert!(Manifest::read(b"").is_err());
    }
}
