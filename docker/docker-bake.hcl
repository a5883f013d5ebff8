# How the image is built. What it is built from (contexts, arguments, tags) is written beside this
# by scripts/build/bake.py, from workspace.toml and the lockfiles:
#   docker buildx bake -f docker/docker-bake.hcl -f .workspace/builds/PROFILE/bake.json image

target "_common" {
  platforms = ["linux/amd64"]
  # Attestations would change the digest of the image's index from one build to the next.
  attest = ["type=provenance,disabled=true"]
}

target "image" {
  inherits   = ["_common"]
  context    = "docker"
  dockerfile = "Dockerfile"
  target     = "image"
}

# Its stage `check` by itself: it refuses layers that do not go together, before any is exported.
target "check" {
  inherits   = ["_common"]
  context    = "docker"
  dockerfile = "Dockerfile"
  target     = "check"
  output     = ["type=cacheonly"]
}

# Contexts of `image` that are built themselves, where a profile asks for it: the root file system
# from Debian packages, and a web UI from a folder with a Dockerfile. Each is built before `image`
# and handed over as an OCI layout: as a linked target (target:rootfs) buildx would export it as an
# image at the same time, and the engine can lose a layer while both are unpacked.
target "rootfs" {
  inherits          = ["_common"]
  dockerfile-inline = "FROM scratch\nADD rootfs.tar /\n"
}

target "source" {
  inherits = ["_common"]
}
