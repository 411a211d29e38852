variable "name" {
  description = "Prefix of the names of everything that is made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 24 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "bucket_name" {
  description = "Name of the bucket, which is unique in the world. null: made of name, account and region."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 lower-case letters, digits and hyphens, and neither begin nor end with a hyphen."
  }
}

variable "kms_key_arn" {
  description = "Key with which S3 encrypts the objects. null: a key of its own. Its value must be known when planning, so it must be of a key that is not made in the same apply."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (not of an alias)."
  }
}

variable "archive_key_primary_arn" {
  description = "ARN of the archive's master key in another region, of which a replica is made here: for a region that reads what the other one has archived. null: a master key of its own."
  type        = string
  default     = null

  validation {
    condition     = var.archive_key_primary_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/mrk-[0-9a-f]+$", var.archive_key_primary_arn))
    error_message = "archive_key_primary_arn must be the ARN of a multi-Region key, ...:key/mrk-...: the output archive_kms_key_arn of this module in the other region."
  }
}

variable "noncurrent_days" {
  description = "Days for which a deleted or overwritten object can be brought back."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.noncurrent_days >= 1 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number from 1 on."
  }
}

variable "object_lock" {
  description = "How long nobody can delete what was archived: GOVERNANCE (whoever has a special right can) or COMPLIANCE (nobody can, the account's owner included), and days. null: not at all; it can be turned on later."
  type = object({
    mode = string
    days = number
  })
  default = null

  validation {
    condition     = var.object_lock == null || try(contains(["GOVERNANCE", "COMPLIANCE"], var.object_lock.mode), false)
    error_message = "object_lock.mode must be GOVERNANCE or COMPLIANCE."
  }

  validation {
    condition     = var.object_lock == null || try(var.object_lock.days >= 1 && var.object_lock.days <= 36500, false)
    error_message = "object_lock.days must be from 1 to 36500."
  }
}

variable "replication" {
  description = "Bucket of another region that gets everything, and the key with which S3 encrypts there: the outputs bucket_arn and kms_key_arn of this module in that region. null: none."
  type = object({
    bucket_arn  = string
    kms_key_arn = string
  })
  default = null

  validation {
    condition     = var.replication == null || try(can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", var.replication.bucket_arn)), false)
    error_message = "replication.bucket_arn must be the ARN of a bucket."
  }

  validation {
    condition     = var.replication == null || try(can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.replication.kms_key_arn)), false)
    error_message = "replication.kms_key_arn must be the ARN of a key (not of an alias)."
  }
}

variable "deletion_protection" {
  description = "Refuse to destroy or replace the bucket and the archive's master key. To take everything down: set it to false, apply, destroy."
  type        = bool
  default     = true
  nullable    = false
}

variable "force_destroy" {
  description = "Whether destroying the bucket deletes what is in it, all versions. Otherwise a bucket that is not empty stays."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.force_destroy && var.deletion_protection)
    error_message = "force_destroy needs deletion_protection = false."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
