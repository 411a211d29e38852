# What is promised: images that nobody can change under their tag, encrypted, scanned, and copied anew when their source changes.

mock_provider "aws" {
  override_during = plan

  override_resource {
    target = aws_ecr_repository.this
    values = { repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mock" }
  }
  override_resource {
    target = aws_kms_key.this
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/images" }
  }
}

variables {
  name = "tierd-test"
  images = {
    tierd     = "ghcr.example/tierd/tierd:v1.2.3"
    collector = "public.ecr.aws/aws-observability/aws-otel-collector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    pinned    = "registry.example:5000/both:v2@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    built     = "./tests/layout"
  }
  tags = { project = "tierd" }
}

run "images_do_not_change_under_their_tags" {
  command = plan

  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["tierd", "collector", "pinned", "built"]) && alltrue([for image, repository in aws_ecr_repository.this : repository.name == "tierd-test/${image}"])
    error_message = "there is not one repository for each image"
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE"])
    error_message = "a tag can be moved to another image"
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_scanning_configuration[0].scan_on_push])
    error_message = "images are not scanned"
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.encryption_configuration[0].encryption_type == "KMS" && repository.encryption_configuration[0].kms_key == aws_kms_key.this.arn])
    error_message = "images are not encrypted by the key of the registry"
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "the key does not rotate, or is gone sooner than 30 days after its deletion"
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : !repository.force_delete && repository.tags == tomap({ project = "tierd" })])
    error_message = "destroying a repository takes its images along unasked, or tags are missing"
  }
  assert {
    condition     = alltrue([for policy in aws_ecr_lifecycle_policy.this : [for rule in jsondecode(policy.policy).rules : "${rule.selection.tagStatus} ${rule.selection.countType} ${rule.selection.countNumber}"] == ["untagged sinceImagePushed 14", "any imageCountMoreThan 50"]])
    error_message = "images that are needed go, or those that are not stay"
  }
}

run "tags_follow_the_source" {
  command = plan

  assert {
    condition = { for image, reference in output.images : image => split(":", reference)[1] } == {
      tierd     = "v1.2.3"
      collector = "sha256-0123456789abcdef"
      pinned    = "v2"
      built     = "sha256-${substr(filesha256("./tests/layout/index.json"), 0, 16)}"
    }
    error_message = "tags are not those of the sources"
  }
  assert {
    condition     = alltrue([for image, copy in terraform_data.copy : copy.triggers_replace == [var.images[image], output.images[image]]])
    error_message = "another source, or another repository, does not make it copied anew"
  }
}

run "latest_is_refused" {
  command = plan
  variables {
    images = { tierd = "ghcr.example/tierd/tierd:latest" }
  }
  expect_failures = [var.images]
}

run "a_source_without_a_tag_is_refused" {
  command = plan
  variables {
    images = { tierd = "ghcr.example/tierd/tierd" }
  }
  expect_failures = [var.images]
}

run "a_name_that_ecr_refuses_is_refused" {
  command = plan
  variables {
    images = { Tierd = "ghcr.example/tierd/tierd:v1" }
  }
  expect_failures = [var.images]
}

run "another_program_is_refused" {
  command = plan
  variables {
    copy_with = "podman"
  }
  expect_failures = [var.copy_with]
}

run "keeping_nothing_is_refused" {
  command = plan
  variables {
    keep_images = 1
  }
  expect_failures = [var.keep_images]
}
