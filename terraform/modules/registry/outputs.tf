output "images" {
  description = "Images in this account by their names, with their tags, as task definitions take them. They are there."
  value       = local.targets
  depends_on  = [terraform_data.copy]
}

output "repository_arns" {
  description = "ARNs of the repositories by the images' names, for the roles that pull."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.arn }
}

output "kms_key_arn" {
  description = "Key that encrypts the images. Who pulls needs no right on it: ECR uses it by itself."
  value       = aws_kms_key.this.arn
}
