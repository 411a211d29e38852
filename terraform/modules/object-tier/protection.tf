# S3 keeps a bucket that is not empty, and KMS a key for 30 days. Before either: a guard that Terraform destroys first, also where they
# would be replaced, and that refuses. (Terraform's own prevent_destroy cannot depend on a variable.)

resource "terraform_data" "guard" {
  input            = { bucket = aws_s3_bucket.archive.bucket, protected = var.deletion_protection }
  triggers_replace = [aws_s3_bucket.archive.arn, local.archive_key, local.kms_key_arn]

  provisioner "local-exec" {
    when    = destroy
    quiet   = true
    command = "if test \"$PROTECTED\" = true; then echo \"The archive in $BUCKET must not be destroyed, nor its keys. To do so all the same, set deletion_protection = false and apply first.\" >&2; exit 1; fi"
    environment = {
      PROTECTED = self.input.protected
      BUCKET    = self.input.bucket
    }
  }
}
