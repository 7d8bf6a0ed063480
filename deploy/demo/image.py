"""Makes an OCI image on disk, in plain Python: one layer with one file.

Usage: image.py LAYOUT FILE REVISION
"""

import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile

layout, file, revision = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
blobs = layout / "blobs" / "sha256"
blobs.mkdir(parents=True, exist_ok=True)


def blob(kind: str, content: bytes) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}


archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo(file.name)
    entry.size, entry.mode = file.stat().st_size, 0o755
    with file.open("rb") as content:
        tar.addfile(entry, content)
tarball = archive.getvalue()
config = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Entrypoint": [f"/{file.name}"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tarball).hexdigest()]},
}
manifest = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": blob("config.v1+json", json.dumps(config).encode()),
    "layers": [blob("layer.v1.tar+gzip", gzip.compress(tarball, 1, mtime=0))],
    "annotations": {"org.opencontainers.image.revision": revision},
}
top = blob("manifest.v1+json", json.dumps(manifest).encode())
top["annotations"] = {"org.opencontainers.image.ref.name": "1"}
(layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
(layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
