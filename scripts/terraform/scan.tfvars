# The choices that examples do not make: what they bring is scanned as well.
engine              = "elasticache"
acm_pca             = true
archive_replication = { bucket_arn = "arn:aws:s3:::copy", kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/0123" }
object_lock         = { mode = "GOVERNANCE", days = 30 }
