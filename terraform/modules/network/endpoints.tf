# The ways to AWS. Each endpoint lets through what tierd and the agents beside it call, of principals of
# this account: stolen credentials of another account cannot carry data out this way.

locals {
  actions = {
    "ecr.api"        = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    "ecr.dkr"        = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    "secretsmanager" = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
    "kms"            = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    "logs"           = ["logs:CreateLogStream", "logs:PutLogEvents"]
    "monitoring"     = ["cloudwatch:PutMetricData"]
    "aps-workspaces" = ["aps:RemoteWrite"]
    "sts"            = ["sts:AssumeRole", "sts:GetCallerIdentity"]
    "acm-pca"        = ["acm-pca:GetCertificate", "acm-pca:GetCertificateAuthorityCertificate", "acm-pca:IssueCertificate"]
  }
  # What tierd does with its archive, by deploy/s3, and nothing that changes a bucket.
  s3_actions = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
  s3_resources = length(var.s3_bucket_arns) == 0 ? ["*"] : flatten([
    for arn in var.s3_bucket_arns : [arn, "${arn}/*"]
  ])
  # Where ECR keeps the layers of images: a bucket of AWS' own, by the documentation of ECR's endpoints.
  layers = "arn:${local.partition}:s3:::prod-${local.region}-starport-layer-bucket/*"
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints of AWS services"
  vpc_id      = aws_vpc.this.id

  tags = merge(var.tags, { Name = "${var.name}-endpoints" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(var.endpoint_client_security_group_ids)

  security_group_id            = aws_security_group.endpoints.id
  description                  = "HTTPS of a client of the endpoints"
  referenced_security_group_id = var.endpoint_client_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443

  tags = var.tags
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.interface_endpoints

  vpc_id              = aws_vpc.this.id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  private_dns_enabled = true
  subnet_ids          = [for zone in var.availability_zones : aws_subnet.private[zone].id]
  security_group_ids  = [aws_security_group.endpoints.id]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ThisAccount"
      Effect    = "Allow"
      Principal = "*"
      Action    = local.actions[each.key]
      Resource  = "*" # which ones, the policies of the roles say
      Condition = { StringEquals = { "aws:PrincipalAccount" = local.account } }
    }]
  })

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${local.region}.s3"
  route_table_ids   = [for zone in var.availability_zones : aws_route_table.private[zone].id]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = "*"
        Action    = local.s3_actions
        Resource  = local.s3_resources
        Condition = { StringEquals = { "aws:PrincipalAccount" = local.account, "aws:ResourceAccount" = local.account } }
      },
      {
        # Layers come by signed addresses that are not of this account's principals.
        Sid       = "ImageLayers"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject"]
        Resource  = [local.layers]
      },
    ]
  })

  tags = merge(var.tags, { Name = "${var.name}-s3" })
}
