# What is promised: encrypted by keys of its own, reached by TLS alone, never public, versioned, not destroyed by mistake; and a
# copy in another region with a role that may do that and nothing else.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }
  override_data {
    target = data.aws_region.current
    values = { region = "eu-central-1" }
  }
  override_resource {
    target = aws_kms_key.bucket
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/bucket" }
  }
  override_resource {
    target = aws_kms_key.archive
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/mrk-1234" }
  }
  override_resource {
    target = aws_s3_bucket.archive
    values = { arn = "arn:aws:s3:::tierd-test-archive-123456789012-eu-central-1", id = "tierd-test-archive-123456789012-eu-central-1" }
  }
}

variables {
  name                = "tierd-test"
  deletion_protection = false # what a run applies has to be removed after it
  tags                = { project = "tierd" }
}

run "everything_is_encrypted_by_keys_that_rotate" {
  command = apply

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.archive.rule).apply_server_side_encryption_by_default) == { sse_algorithm = "aws:kms", kms_master_key_id = "arn:aws:kms:eu-central-1:123456789012:key/bucket" } && one(aws_s3_bucket_server_side_encryption_configuration.archive.rule).bucket_key_enabled
    error_message = "objects are not encrypted by the bucket's key"
  }
  assert {
    condition     = alltrue([for key in concat(aws_kms_key.bucket, aws_kms_key.archive) : key.enable_key_rotation && key.deletion_window_in_days == 30])
    error_message = "a key does not rotate, or is gone sooner than 30 days after its deletion"
  }
  assert {
    condition     = aws_kms_key.archive[0].multi_region
    error_message = "the archive's master key could never be used in another region"
  }
  assert {
    condition     = output.kms_key_arn != output.archive_kms_key_arn
    error_message = "S3 and tierd encrypt with one key: who may read the bucket could read the archive"
  }
  assert {
    condition     = output.url == "s3://tierd-test-archive-123456789012-eu-central-1/keyspaces?region=eu-central-1&sse=aws:kms:arn:aws:kms:eu-central-1:123456789012:key/bucket"
    error_message = "tierd is given another place, or encrypts otherwise than the bucket wants"
  }
}

run "only_tls_and_only_this_key" {
  command = apply

  assert {
    condition     = [for statement in jsondecode(aws_s3_bucket_policy.archive.policy).Statement : "${statement.Effect} ${statement.Sid}"] == ["Deny TLSOnly", "Deny TLSOfToday", "Deny KMSOnly", "Deny ThisKeyOnly", "Deny NoKeysOfCallers"]
    error_message = "the bucket's policy allows something, or forbids less"
  }
  assert {
    condition = jsondecode(aws_s3_bucket_policy.archive.policy).Statement[0] == {
      Sid       = "TLSOnly", Effect = "Deny", Principal = "*", Action = "s3:*"
      Resource  = ["arn:aws:s3:::tierd-test-archive-123456789012-eu-central-1", "arn:aws:s3:::tierd-test-archive-123456789012-eu-central-1/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
    error_message = "requests without TLS are not refused"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.archive.policy).Statement[1].Condition == { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    error_message = "old TLS is not refused"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.archive.policy).Statement[2].Condition == { Null = { "s3:x-amz-server-side-encryption" = "false" }, StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" } }
    error_message = "other encryption than that of KMS is not refused"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.archive.policy).Statement[3].Condition.StringNotEquals == { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "arn:aws:kms:eu-central-1:123456789012:key/bucket" }
    error_message = "another key than the bucket's is not refused"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.archive.policy).Statement[4].Condition == { Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } }
    error_message = "keys that callers bring along are not refused"
  }
}

run "never_public" {
  command = plan

  assert {
    condition     = aws_s3_bucket_public_access_block.archive.block_public_acls && aws_s3_bucket_public_access_block.archive.block_public_policy && aws_s3_bucket_public_access_block.archive.ignore_public_acls && aws_s3_bucket_public_access_block.archive.restrict_public_buckets
    error_message = "public access is not blocked in all four ways"
  }
  assert {
    condition     = aws_s3_bucket_ownership_controls.archive.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "the bucket has ACLs"
  }
}

run "what_is_deleted_can_be_brought_back" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.archive.versioning_configuration[0].status == "Enabled"
    error_message = "the bucket keeps no versions"
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.archive.rule[0].noncurrent_version_expiration[0].noncurrent_days == 30 && aws_s3_bucket_lifecycle_configuration.archive.rule[0].expiration[0].expired_object_delete_marker && aws_s3_bucket_lifecycle_configuration.archive.rule[0].status == "Enabled"
    error_message = "old versions are kept for another time than was asked for"
  }
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.archive.rule : length([for expiration in rule.expiration : expiration if try(expiration.days > 0, false)]) == 0])
    error_message = "objects of the archive expire"
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.archive.rule[1].abort_incomplete_multipart_upload[0].days_after_initiation == 1 && aws_s3_bucket_lifecycle_configuration.archive.rule[1].status == "Enabled"
    error_message = "uploads that were cut off stay"
  }
  assert {
    condition     = aws_s3_bucket.archive.object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.archive) == 0
    error_message = "objects are locked unasked, or could never be"
  }
}

run "objects_are_locked" {
  command = plan

  variables {
    object_lock = { mode = "COMPLIANCE", days = 14 }
  }

  assert {
    condition     = aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].mode == "COMPLIANCE" && aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].days == 14
    error_message = "objects are not locked as was asked for"
  }
}

run "destroying_is_refused_unless_asked_for" {
  command = plan

  variables {
    deletion_protection = null # the default
  }

  assert {
    condition     = terraform_data.guard.input.protected && !aws_s3_bucket.archive.force_destroy
    error_message = "the archive can be destroyed unless somebody remembers to forbid it"
  }
}

run "a_copy_in_another_region" {
  command = apply

  variables {
    replication = {
      bucket_arn  = "arn:aws:s3:::copy"
      kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/copy"
    }
  }

  assert {
    condition     = aws_s3_bucket_replication_configuration.archive[0].role == aws_iam_role.replication[0].arn && aws_s3_bucket_replication_configuration.archive[0].rule[0].status == "Enabled"
    error_message = "nothing is copied"
  }
  assert {
    condition     = aws_s3_bucket_replication_configuration.archive[0].rule[0].destination[0].bucket == "arn:aws:s3:::copy" && aws_s3_bucket_replication_configuration.archive[0].rule[0].destination[0].encryption_configuration[0].replica_kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/copy"
    error_message = "it is copied to another place, or not encrypted there by its key"
  }
  assert {
    condition     = aws_s3_bucket_replication_configuration.archive[0].rule[0].delete_marker_replication[0].status == "Enabled" && aws_s3_bucket_replication_configuration.archive[0].rule[0].source_selection_criteria[0].sse_kms_encrypted_objects[0].status == "Enabled"
    error_message = "deletions or encrypted objects, which is all of them, are not copied"
  }
  assert {
    condition     = aws_s3_bucket_replication_configuration.archive[0].rule[0].destination[0].replication_time[0].status == "Enabled" && aws_s3_bucket_replication_configuration.archive[0].rule[0].destination[0].metrics[0].status == "Enabled"
    error_message = "nobody is told when the copy is behind"
  }
  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.replication[0].policy).Statement : statement.Sid => { Action = statement.Action, Resource = statement.Resource } } == {
      Look    = { Action = ["s3:GetReplicationConfiguration", "s3:ListBucket"], Resource = ["arn:aws:s3:::tierd-test-archive-123456789012-eu-central-1"] }
      Read    = { Action = ["s3:GetObjectLegalHold", "s3:GetObjectRetention", "s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"], Resource = ["arn:aws:s3:::tierd-test-archive-123456789012-eu-central-1/*"] }
      Write   = { Action = ["s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"], Resource = ["arn:aws:s3:::copy/*"] }
      Decrypt = { Action = ["kms:Decrypt"], Resource = ["arn:aws:kms:eu-central-1:123456789012:key/bucket"] }
      Encrypt = { Action = ["kms:Encrypt", "kms:GenerateDataKey"], Resource = ["arn:aws:kms:eu-west-1:123456789012:key/copy"] }
    }
    error_message = "the role may do other things than copy this bucket to that one"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.replication[0].policy).Statement[3].Condition.StringLike["kms:ViaService"] == "s3.eu-central-1.amazonaws.com" && jsondecode(aws_iam_role_policy.replication[0].policy).Statement[4].Condition.StringLike["kms:ViaService"] == "s3.eu-west-1.amazonaws.com"
    error_message = "the role may use the keys otherwise than through S3 of the two regions"
  }
  assert {
    condition     = jsondecode(aws_iam_role.replication[0].assume_role_policy).Statement[0].Principal == { Service = "s3.amazonaws.com" }
    error_message = "others than S3 may take the role"
  }
}

run "without_a_copy_there_is_no_role" {
  command = plan

  assert {
    condition     = length(aws_iam_role.replication) == 0 && length(aws_s3_bucket_replication_configuration.archive) == 0
    error_message = "there is a role that nobody needs"
  }
}

run "the_other_region_reads_with_the_same_master_key" {
  command = plan

  variables {
    archive_key_primary_arn = "arn:aws:kms:eu-west-1:123456789012:key/mrk-1234"
  }

  assert {
    condition     = length(aws_kms_key.archive) == 0 && aws_kms_replica_key.archive[0].primary_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/mrk-1234" && aws_kms_replica_key.archive[0].deletion_window_in_days == 30
    error_message = "the region's master key is not a replica of the other one's"
  }
}

run "keys_and_names_of_ones_own" {
  command = plan

  variables {
    bucket_name = "another-name"
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/mine"
  }

  assert {
    condition     = length(aws_kms_key.bucket) == 0 && output.kms_key_arn == var.kms_key_arn && aws_s3_bucket.archive.bucket == "another-name"
    error_message = "another key or name than the one given is used"
  }
}

run "a_key_of_one_region_is_refused_as_primary" {
  command = plan
  variables {
    archive_key_primary_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
  expect_failures = [var.archive_key_primary_arn]
}

run "emptying_needs_protection_to_be_off" {
  command = plan
  variables {
    deletion_protection = true
    force_destroy       = true
  }
  expect_failures = [var.force_destroy]
}

run "another_lock_is_refused" {
  command = plan
  variables {
    object_lock = { mode = "FOREVER", days = 1 }
  }
  expect_failures = [var.object_lock]
}

run "an_alias_is_refused" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/mine"
  }
  expect_failures = [var.kms_key_arn]
}

run "a_copy_by_an_alias_is_refused" {
  command = plan
  variables {
    replication = { bucket_arn = "copy", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/copy" }
  }
  expect_failures = [var.replication]
}

run "keeping_nothing_is_refused" {
  command = plan
  variables {
    noncurrent_days = 0
  }
  expect_failures = [var.noncurrent_days]
}
