# Promises of the modules, each broken as a careless change would: `make test-terraform-mutations` demands that a
# test of the folder fails for each.

mutation "bucket-takes-public-acls" {
  file    = "terraform/modules/object-tier/access.tf"
  promise = "nothing in the archive is public"
  replace = "block_public_acls       = true"
  with    = "block_public_acls       = false"
}

mutation "bucket-may-be-made-public" {
  file    = "terraform/modules/object-tier/access.tf"
  promise = "nothing in the archive is public"
  replace = "restrict_public_buckets = true"
  with    = "restrict_public_buckets = false"
}

mutation "bucket-is-reached-without-tls" {
  file    = "terraform/modules/object-tier/access.tf"
  promise = "the archive is reached by TLS only"
  replace = "{ Bool = { \"aws:SecureTransport\" = \"false\" } }"
  with    = "{ Bool = { \"aws:SecureTransport\" = \"never\" } }"
}

mutation "bucket-has-amazons-key" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "objects are encrypted with the archive's own key"
  replace = "sse_algorithm     = \"aws:kms\""
  with    = "sse_algorithm     = \"AES256\""
}

mutation "bucket-forgets-versions" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "what is deleted of the archive can be brought back"
  replace = <<-E
    versioning_configuration {
        status = "Enabled"
  E
  with    = <<-E
    versioning_configuration {
        status = "Suspended"
  E
}

mutation "keys-do-not-rotate" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "keys rotate"
  replace = "enable_key_rotation     = true"
  with    = "enable_key_rotation     = false"
}

mutation "archive-may-be-destroyed" {
  file    = "terraform/modules/object-tier/protection.tf"
  promise = "the archive is not destroyed by mistake"
  replace = "protected = var.deletion_protection"
  with    = "protected = false"
}

mutation "replica-has-another-key" {
  file    = "terraform/modules/object-tier/replication.tf"
  promise = "the copy in another region is encrypted with that region's key"
  replace = "replica_kms_key_id = var.replication.kms_key_arn"
  with    = "replica_kms_key_id = local.kms_key_arn"
}

mutation "memorydb-without-tls" {
  file    = "terraform/modules/hot-tier/memorydb.tf"
  promise = "Redis is reached by TLS only"
  replace = "tls_enabled = true"
  with    = "tls_enabled = false"
}

mutation "memorydb-with-amazons-key" {
  file    = "terraform/modules/hot-tier/memorydb.tf"
  promise = "data at rest is encrypted with the hot tier's own key"
  replace = "kms_key_arn = local.kms_key_arn"
  with    = "kms_key_arn = null"
}

mutation "memorydb-evicts" {
  file    = "terraform/modules/hot-tier/memorydb.tf"
  promise = "Redis that is full refuses writes, and evicts nothing"
  replace = "\"noeviction\""
  with    = "\"allkeys-lru\""
}

mutation "elasticache-at-rest-in-the-clear" {
  file    = "terraform/modules/hot-tier/elasticache.tf"
  promise = "data at rest is encrypted"
  replace = "at_rest_encryption_enabled = true"
  with    = "at_rest_encryption_enabled = false"
}

mutation "elasticache-does-not-fail-over" {
  file    = "terraform/modules/hot-tier/elasticache.tf"
  promise = "a replica takes over"
  replace = "automatic_failover_enabled = true"
  with    = "automatic_failover_enabled = false"
}

mutation "shards-may-be-destroyed" {
  file    = "terraform/modules/hot-tier/protection.tf"
  promise = "a shard that serves is not destroyed by mistake"
  replace = "protected = var.deletion_protection && each.value"
  with    = "protected = false"
}

mutation "elasticache-is-not-waited-for" {
  file    = "terraform/modules/hot-tier/outputs.tf"
  promise = "with ElastiCache, a replica has what a client is told"
  replace = "local.memorydb ? 0 : 1"
  with    = "0"
}

mutation "redis-user-may-all" {
  file    = "terraform/modules/hot-tier/user.tf"
  promise = "tierd's user in Redis may what deploy/redis/users.acl lists"
  replace = "\"-@all\""
  with    = "\"+@all\""
}

mutation "redis-is-open-to-the-network" {
  file    = "terraform/modules/hot-tier/main.tf"
  promise = "only named security groups reach Redis"
  replace = "referenced_security_group_id = var.client_security_group_ids[count.index]"
  with    = "cidr_ipv4                    = \"0.0.0.0/0\""
}

mutation "load-balancer-may-be-deleted" {
  file    = "terraform/modules/frontends/load_balancer.tf"
  promise = "the load balancer, whose name every client has, is not deleted by mistake"
  replace = "enable_deletion_protection                                   = var.deletion_protection"
  with    = "enable_deletion_protection                                   = false"
}

mutation "health-is-a-connection" {
  file    = "terraform/modules/frontends/load_balancer.tf"
  promise = "a frontend that is not ready gets no new connections"
  replace = "\"/readyz?"
  with    = "\"/livez?"
}

mutation "bad-deployment-stays" {
  file    = "terraform/modules/frontends/main.tf"
  promise = "a deployment whose frontends do not get healthy is rolled back"
  replace = "rollback = true"
  with    = "rollback = false"
}

mutation "old-frontends-go-first" {
  file    = "terraform/modules/frontends/main.tf"
  promise = "a new frontend serves before an old one goes"
  replace = "deployment_minimum_healthy_percent = 100"
  with    = "deployment_minimum_healthy_percent = 0"
}

mutation "frontends-are-killed-at-once" {
  file    = "terraform/modules/frontends/task.tf"
  promise = "a frontend has time to give its clients away"
  replace = "stopTimeout = var.drain_seconds"
  with    = "stopTimeout = 2"
}

mutation "frontends-have-public-addresses" {
  file    = "terraform/modules/frontends/main.tf"
  promise = "frontends have no public address"
  replace = "assign_public_ip = false"
  with    = "assign_public_ip = true"
}

mutation "frontends-read-all-secrets" {
  file    = "terraform/modules/frontends/iam.tf"
  promise = "frontends read the certificates that are theirs"
  replace = "Resource = [var.pki.ca_secret_arn, var.pki.server_secret_arn]"
  with    = "Resource = [\"*\"]"
}

mutation "clients-need-no-certificate" {
  file    = "terraform/modules/frontends/task.tf"
  promise = "clients identify by certificate"
  replace = "TIERD_CLIENT_CERT_AUTH        = \"true\""
  with    = "TIERD_CLIENT_CERT_AUTH        = \"false\""
}

mutation "tasks-write-their-root" {
  file    = "terraform/modules/frontends/task.tf"
  promise = "a container cannot change its own files"
  replace = "readonlyRootFilesystem = true"
  with    = "readonlyRootFilesystem = false"
}

mutation "subnets-give-public-addresses" {
  file    = "terraform/modules/network/main.tf"
  promise = "what is in the private subnets has no public address"
  replace = "map_public_ip_on_launch = false"
  with    = "map_public_ip_on_launch = true"
}

mutation "secrets-are-gone-at-once" {
  file    = "terraform/modules/pki/main.tf"
  promise = "a secret that was deleted can be brought back"
  replace = "recovery_window_in_days = var.recovery_window_days"
  with    = "recovery_window_in_days = 0"
}

mutation "images-may-change-under-a-tag" {
  file    = "terraform/modules/registry/main.tf"
  promise = "what was tested under a tag is what runs under it"
  replace = "image_tag_mutability = \"IMMUTABLE\""
  with    = "image_tag_mutability = \"MUTABLE\""
}

mutation "jobs-of-any-account" {
  file    = "terraform/modules/job/iam.tf"
  promise = "the roles of jobs are for tasks of this account"
  replace = "\"aws:SourceAccount\" = local.account"
  with    = "\"aws:SourceAccount\" = \"*\""
}

mutation "prune-without-keeping" {
  file    = "terraform/modules/functions/main.tf"
  promise = "pruning keeps what the variable keep says"
  replace = "\"--keep-age\", var.keep.age,"
  with    = "\"--keep-age\", \"1h\","
}

mutation "standby-changes-the-shard-map" {
  file    = "terraform/live/aws-standby-region/main.tf"
  promise = "the standby region changes nothing"
  replace = "[\"archive-verify\", \"restore-drill\"]"
  with    = "[\"archive-verify\", \"restore-drill\", \"archive-prune\"]"
}

mutation "corruption-replaces-frontends" {
  file    = "terraform/modules/frontends/main.tf"
  promise = "frontends that may hold what a Redis has lost are not replaced for its loss"
  replace = "health_query = \"exclude=data_corruption\""
  with    = "health_query = \"exclude=non_learner\""
}

mutation "authority-for-everybody" {
  file    = "terraform/modules/pki/main.tf"
  promise = "nobody but the job that renews has the authority's key"
  replace = "Effect    = \"Deny\""
  with    = "Effect    = \"Allow\""
}

mutation "verifying-may-delete" {
  file    = "terraform/modules/functions/iam.tf"
  promise = "who checks the archive only reads it"
  replace = "archive-verify = concat(local.s3_statements[\"read\"]"
  with    = "archive-verify = concat(local.s3_statements[\"prune\"]"
}

mutation "alarms-in-the-clear" {
  file    = "terraform/modules/observability/topic.tf"
  promise = "alarms are encrypted with a key of their own"
  replace = "kms_master_key_id = aws_kms_key.this.arn"
  with    = "kms_master_key_id = null"
}

mutation "anybody-raises-alarms" {
  file    = "terraform/modules/observability/topic.tf"
  promise = "the topic takes messages from the alarms, rules and the workspace of this deployment alone"
  replace = "\"aws:SourceArn\" = sender.source"
  with    = "\"aws:SourceArn\" = \"*\""
}

mutation "silence-is-no-alarm" {
  file    = "terraform/modules/observability/alarms.tf"
  promise = "when no metrics come, people are told"
  replace = "threshold = 1, period = 300, periods = 3, missing = \"breaching\""
  with    = "threshold = 1, period = 300, periods = 3, missing = \"notBreaching\""
}

mutation "network-has-a-way-out" {
  file    = "terraform/modules/network/public.tf"
  promise = "private subnets have no way to the internet"
  replace = "route_table_id         = aws_route_table.public[0].id"
  with    = "route_table_id         = aws_route_table.private[var.availability_zones[0]].id"
}

mutation "endpoints-admit-addresses" {
  file    = "terraform/modules/network/endpoints.tf"
  promise = "endpoints admit named security groups only"
  replace = "referenced_security_group_id = var.endpoint_client_security_group_ids[count.index]"
  with    = "cidr_ipv4                    = var.cidr"
}

mutation "endpoints-admit-other-accounts" {
  file    = "terraform/modules/network/endpoints.tf"
  promise = "endpoints let through principals of this account alone"
  replace = "Condition = { StringEquals = { \"aws:PrincipalAccount\" = local.account } }"
  with    = "Condition = {}"
}

mutation "endpoint-lets-any-call-through" {
  file    = "terraform/modules/network/endpoints.tf"
  promise = "endpoints name their actions"
  replace = "[\"kms:Decrypt\", \"kms:Encrypt\", \"kms:GenerateDataKey\"]"
  with    = "[\"kms:*\"]"
}

mutation "data-leaves-to-other-accounts" {
  file    = "terraform/modules/network/endpoints.tf"
  promise = "no data leaves by the S3 endpoint to other accounts' buckets"
  replace = ", \"aws:ResourceAccount\" = local.account"
  with    = ""
}

mutation "flow-logs-in-the-clear" {
  file    = "terraform/modules/network/flow_logs.tf"
  promise = "flow logs are encrypted by a key of their own"
  replace = "  kms_key_id        = aws_kms_key.logs.arn\n"
  with    = ""
}

mutation "refused-connections-are-not-logged" {
  file    = "terraform/modules/network/flow_logs.tf"
  promise = "accepted and refused connections are logged"
  replace = "\"ALL\""
  with    = "\"ACCEPT\""
}

mutation "elasticache-evicts" {
  file    = "terraform/modules/hot-tier/elasticache.tf"
  promise = "Redis never deletes data to free memory"
  replace = "  parameter_group_name       = aws_elasticache_parameter_group.this[0].name\n"
  with    = "  parameter_group_name       = \"default.valkey8\"\n"
}

mutation "shards-key-does-not-rotate" {
  file    = "terraform/modules/hot-tier/main.tf"
  promise = "keys rotate"
  replace = "enable_key_rotation     = true"
  with    = "enable_key_rotation     = false"
}

mutation "memorydb-without-replica" {
  file    = "terraform/modules/hot-tier/memorydb.tf"
  promise = "each shard has a replica in another zone"
  replace = "num_replicas_per_shard = var.replicas"
  with    = "num_replicas_per_shard = 0"
}

mutation "elasticache-with-tls-at-will" {
  file    = "terraform/modules/hot-tier/elasticache.tf"
  promise = "clients speak TLS with Redis"
  replace = "\"required\""
  with    = "\"preferred\""
}

mutation "shard-leaves-no-snapshot" {
  file    = "terraform/modules/hot-tier/memorydb.tf"
  promise = "a shard that is destroyed leaves a snapshot"
  replace = "  final_snapshot_name      = \"$${var.name}-$${each.key}-$${var.final_snapshot_suffix}\"\n"
  with    = ""
}

mutation "redis-user-reaches-all-keys" {
  file    = "terraform/modules/hot-tier/user.tf"
  promise = "tierd's user reaches its keyspaces alone"
  replace = "[\"resetchannels\", \"-@all\"]"
  with    = "[\"~*\", \"resetchannels\", \"-@all\"]"
}

mutation "memorydb-open-to-everybody" {
  file    = "terraform/modules/hot-tier/memorydb.tf"
  promise = "nobody logs in but tierd's user"
  replace = "aws_memorydb_acl.this[0].name"
  with    = "\"open-access\""
}

mutation "redis-default-user-may-log-in" {
  file    = "terraform/modules/hot-tier/user.tf"
  promise = "nobody logs in but tierd's user"
  replace = "\"off resetchannels -@all\""
  with    = "\"on ~* &* +@all\""
}

mutation "password-changes-at-each-plan" {
  file    = "terraform/modules/hot-tier/password.tf"
  promise = "a password changes only when it is asked for"
  replace = "    ignore_changes       = [secret_string]\n"
  with    = ""
}

mutation "password-in-use-is-replaced" {
  file    = "terraform/modules/hot-tier/password.tf"
  promise = "frontends change over while their password still works"
  replace = "a = floor((var.password_generation + 1) / 2)"
  with    = "a = var.password_generation"
}

mutation "objects-with-another-key" {
  file    = "terraform/modules/object-tier/access.tf"
  promise = "objects encrypted by another key are refused"
  replace = "StringNotEquals = { \"s3:x-amz-server-side-encryption-aws-kms-key-id\" = local.kms_key_arn }"
  with    = "StringNotEquals = { \"s3:x-amz-server-side-encryption-aws-kms-key-id\" = \"*\" }"
}

mutation "objects-expire" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "what is current never expires"
  replace = "expired_object_delete_marker = true"
  with    = "days = 30"
}

mutation "master-key-of-one-region" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "another region can read the archive when this one is lost"
  replace = "multi_region            = true"
  with    = "multi_region            = false"
}

mutation "keys-are-gone-in-a-week" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "a deleted key can be brought back for 30 days"
  replace = "deletion_window_in_days = 30"
  with    = "deletion_window_in_days = 7"
}

mutation "bucket-is-emptied-when-destroyed" {
  file    = "terraform/modules/object-tier/main.tf"
  promise = "a bucket that is not empty is not destroyed unasked"
  replace = "force_destroy = var.force_destroy"
  with    = "force_destroy = true"
}

mutation "copying-role-reads-all-buckets" {
  file    = "terraform/modules/object-tier/replication.tf"
  promise = "the role that copies reads this bucket alone"
  replace = "Resource = [\"$${aws_s3_bucket.archive.arn}/*\"]"
  with    = "Resource = [\"*\"]"
}

mutation "deletions-are-not-copied" {
  file    = "terraform/modules/object-tier/replication.tf"
  promise = "the copy has what the archive has, and no more"
  replace = "    delete_marker_replication {\n      status = \"Enabled\""
  with    = "    delete_marker_replication {\n      status = \"Disabled\""
}

mutation "images-are-not-scanned" {
  file    = "terraform/modules/registry/main.tf"
  promise = "images are scanned"
  replace = "scan_on_push = true"
  with    = "scan_on_push = false"
}

mutation "another-image-is-not-copied" {
  file    = "terraform/modules/registry/main.tf"
  promise = "another source is copied"
  replace = "triggers_replace = [each.value, local.targets[each.key]]"
  with    = "triggers_replace = [each.key]"
}

mutation "one-platform-is-copied" {
  file    = "terraform/modules/registry/copy.sh"
  promise = "all platforms of an image are copied"
  replace = "skopeo copy --all \"docker"
  with    = "skopeo copy \"docker"
}

mutation "frontends-serve-another-shard" {
  file    = "terraform/modules/deployment/main.tf"
  promise = "frontends begin at the home shard"
  replace = "module.hot_tier.endpoints[0]"
  with    = "module.hot_tier.endpoints[length(module.hot_tier.endpoints) - 1]"
}

mutation "frontends-do-not-wait-for-replicas" {
  file    = "terraform/modules/deployment/main.tf"
  promise = "frontends wait for as many replicas as the hot tier says"
  replace = "replica_acks                  = module.hot_tier.replica_acks"
  with    = "replica_acks                  = 0"
}

mutation "certificate-without-the-load-balancers-name" {
  file    = "terraform/modules/deployment/main.tf"
  promise = "the server's certificate is for the names that clients use"
  replace = "compact([module.frontends.load_balancer_dns_name, var.endpoint_name])"
  with    = "[\"localhost\"]"
}

mutation "archive-with-the-buckets-key" {
  file    = "terraform/modules/deployment/main.tf"
  promise = "the archive is encrypted with its own master key, not with S3's"
  replace = "archive_kms_key_arn = module.object_tier.archive_kms_key_arn"
  with    = "archive_kms_key_arn = module.hot_tier.kms_key_arn"
}

mutation "private-authority-cannot-be-reached" {
  file    = "terraform/modules/deployment/main.tf"
  promise = "nothing needs the internet, ACM Private CA neither"
  replace = "[\"acm-pca\"] : []"
  with    = "[] : []"
}

mutation "production-has-one-replica" {
  file    = "terraform/live/aws-production/main.tf"
  promise = "each shard of production has two replicas"
  replace = "replicas                = 2"
  with    = "replicas                = 1"
}

mutation "production-may-be-destroyed" {
  file    = "terraform/live/aws-production/main.tf"
  promise = "what holds state refuses to be destroyed unless it is asked for"
  replace = "deletion_protection = var.deletion_protection"
  with    = "deletion_protection = false"
}

mutation "standby-hears-of-no-failure" {
  file    = "terraform/live/aws-standby-region/alarms.tf"
  promise = "a job that fails is told of"
  replace = "clusterArn = [aws_ecs_cluster.jobs.arn]"
  with    = "clusterArn = [\"arn:aws:ecs:eu-west-1:111122223333:cluster/other\"]"
}
