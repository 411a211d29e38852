# How copy.sh calls the programs that it finds: stand-ins that note it.

variables {
  source_reference = "public.ecr.aws/tierd/tierd:v1"
  tools            = ["crane", "skopeo", "docker"]
}

run "crane_comes_first" {
  module {
    source = "./tests/copy"
  }

  assert {
    condition = output.calls == tolist([
      "crane auth login 123456789012.dkr.ecr.eu-central-1.amazonaws.com --username AWS --password-stdin <<< secret",
      "crane copy public.ecr.aws/tierd/tierd:v1 123456789012.dkr.ecr.eu-central-1.amazonaws.com/tierd/tierd:v1",
      "done",
    ])
    error_message = "crane was called otherwise"
  }
}

run "crane_pushes_a_layout" {
  module {
    source = "./tests/copy"
  }
  variables {
    source_reference = "./layout"
  }

  assert {
    condition     = output.calls[1] == "crane push ./layout 123456789012.dkr.ecr.eu-central-1.amazonaws.com/tierd/tierd:v1" && output.calls[2] == "done"
    error_message = "crane was called otherwise"
  }
}

run "skopeo_copies_all_platforms" {
  module {
    source = "./tests/copy"
  }
  variables {
    copy_with = "skopeo"
  }

  assert {
    condition = output.calls == tolist([
      "skopeo login 123456789012.dkr.ecr.eu-central-1.amazonaws.com --username AWS --password-stdin <<< secret",
      "skopeo copy --all docker://public.ecr.aws/tierd/tierd:v1 docker://123456789012.dkr.ecr.eu-central-1.amazonaws.com/tierd/tierd:v1",
      "done",
    ])
    error_message = "skopeo was called otherwise"
  }
}

run "skopeo_copies_a_layout" {
  module {
    source = "./tests/copy"
  }
  variables {
    copy_with        = "skopeo"
    source_reference = "/srv/layout"
  }

  assert {
    condition     = output.calls[1] == "skopeo copy --all oci:/srv/layout docker://123456789012.dkr.ecr.eu-central-1.amazonaws.com/tierd/tierd:v1"
    error_message = "skopeo was called otherwise"
  }
}

run "docker_copies_all_platforms" {
  module {
    source = "./tests/copy"
  }
  variables {
    copy_with = "docker"
  }

  assert {
    condition = output.calls == tolist([
      "docker login 123456789012.dkr.ecr.eu-central-1.amazonaws.com --username AWS --password-stdin <<< secret",
      "docker buildx imagetools create --tag 123456789012.dkr.ecr.eu-central-1.amazonaws.com/tierd/tierd:v1 public.ecr.aws/tierd/tierd:v1",
      "done",
    ])
    error_message = "docker was called otherwise"
  }
}

run "docker_cannot_push_a_layout" {
  module {
    source = "./tests/copy"
  }
  variables {
    copy_with        = "docker"
    source_reference = "./layout"
  }

  assert {
    condition     = output.calls[length(output.calls) - 1] == "failed" && strcontains(output.calls[1], "install crane or skopeo")
    error_message = "what cannot be done is not said"
  }
}
