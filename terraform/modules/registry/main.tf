# Images in this account, where subnets without a way to the internet can pull them. Who applies copies them (copy.sh): from
# another registry, or from the OCI layout that make image leaves.

data "aws_ecr_authorization_token" "this" {}

locals {
  layouts = { for image, source in var.images : image => source if can(regex("^[./]", source)) }

  # The tag is the source's. A layout, or a reference by digest alone, gets one of its digest: another image is another tag.
  tags = { for image, source in var.images : image =>
    contains(keys(local.layouts), image) ? "sha256-${substr(filesha256("${source}/index.json"), 0, 16)}" :
    can(regex("@sha256:", source)) && !can(regex(":[A-Za-z0-9_][A-Za-z0-9_.-]*@", source)) ? "sha256-${substr(regex("@sha256:([0-9a-f]+)$", source)[0], 0, 16)}" :
    regex(":([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:@.*)?$", source)[0]
  }

  targets = { for image, tag in local.tags : image => "${aws_ecr_repository.this[image].repository_url}:${tag}" }
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: images"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  tags = var.tags
}

resource "aws_ecr_repository" "this" {
  for_each = var.images

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE" # what was tested under a tag is what runs under it
  force_delete         = var.force_delete

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }

  tags = var.tags
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = var.images

  repository = aws_ecr_repository.this[each.key].name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What no tag names any more"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "All but the newest"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.keep_images }
        action       = { type = "expire" }
      },
    ]
  })
}

resource "terraform_data" "copy" {
  for_each = var.images

  triggers_replace = [each.value, local.targets[each.key]]

  provisioner "local-exec" {
    command = "sh \"$SCRIPT\""
    environment = {
      SCRIPT      = abspath("${path.module}/copy.sh")
      SOURCE      = each.value
      TARGET      = local.targets[each.key]
      COPY_WITH   = var.copy_with == null ? "" : var.copy_with
      TARGET_USER = data.aws_ecr_authorization_token.this.user_name
      TARGET_PASS = data.aws_ecr_authorization_token.this.password
    }
  }

  depends_on = [aws_ecr_lifecycle_policy.this]
}
