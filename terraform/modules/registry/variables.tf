variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 24 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "images" {
  description = "Images, and where each is copied from: a reference with a tag or a digest (public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3), or the path of an OCI layout, which begins with / or . (../../../bin/image, as make image leaves it)."
  type        = map(string)

  validation {
    condition     = length(var.images) > 0 && alltrue([for image in keys(var.images) : can(regex("^[a-z0-9]+([-_.][a-z0-9]+)*$", image))])
    error_message = "images must have names of lower-case letters and digits, joined by single hyphens, dots or underscores."
  }

  validation {
    condition     = alltrue([for source in values(var.images) : can(regex("^[./]", source)) || can(regex("^[a-z0-9][a-zA-Z0-9./_:-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$", source))])
    error_message = "images must be copied from references with a tag or a digest, or from a path that begins with / or a dot."
  }

  validation {
    condition     = alltrue([for source in values(var.images) : !endswith(source, ":latest")])
    error_message = "images must not be copied from a tag latest: what runs would depend on the day."
  }
}

variable "copy_with" {
  description = "Program that copies images: crane, skopeo or docker. null: the first of them that is there."
  type        = string
  default     = null

  validation {
    condition     = var.copy_with == null || try(contains(["crane", "skopeo", "docker"], var.copy_with), false)
    error_message = "copy_with must be crane, skopeo or docker."
  }
}

variable "keep_images" {
  description = "How many images of each repository are kept, the newest."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.keep_images >= 5 && floor(var.keep_images) == var.keep_images
    error_message = "keep_images must be a whole number from 5 on: what runs, and what a rollback needs, must not go."
  }
}

variable "force_delete" {
  description = "Whether destroying a repository deletes its images. Otherwise one that is not empty stays."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
