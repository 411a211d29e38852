# What is promised: no way to the internet, endpoints that only named groups and this account use,
# everything that is logged encrypted.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }
  override_data {
    target = data.aws_region.current
    values = { region = "eu-central-1" }
  }
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }
}

variables {
  name                               = "tierd-test"
  availability_zones                 = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  endpoint_client_security_group_ids = ["sg-frontends", "sg-jobs"]
  tags                               = { project = "tierd" }
}

run "private_subnets_have_no_way_out" {
  command = apply

  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_subnet.public) == 0 && length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "without public_subnets there are three private subnets, and neither a gateway nor a route to the internet"
  }
  assert {
    condition     = [for zone in var.availability_zones : aws_subnet.private[zone].cidr_block] == ["10.64.0.0/20", "10.64.16.0/20", "10.64.32.0/20"]
    error_message = "the subnets' addresses do not follow the order of the zones"
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch == false])
    error_message = "a private subnet gives out public addresses"
  }
  assert {
    condition     = length(distinct([for zone, link in aws_route_table_association.private : link.route_table_id])) == 3
    error_message = "zones share a route table"
  }
  assert {
    condition     = aws_vpc.this.enable_dns_support && aws_vpc.this.enable_dns_hostnames
    error_message = "the private names of endpoints need both kinds of DNS"
  }
  assert {
    condition     = output.private_subnet_ids == [for zone in var.availability_zones : aws_subnet.private[zone].id] && output.public_subnet_ids == []
    error_message = "outputs name other subnets"
  }
  assert {
    condition     = aws_vpc.this.tags == tomap({ project = "tierd", Name = "tierd-test" })
    error_message = "tags are missing"
  }
}

run "the_default_group_lets_nothing_through" {
  command = plan

  assert {
    condition     = length(coalesce(aws_default_security_group.none.ingress, [])) == 0 && length(coalesce(aws_default_security_group.none.egress, [])) == 0
    error_message = "the default security group has rules"
  }
}

run "endpoints_admit_named_groups_only" {
  command = apply

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.referenced_security_group_id] == ["sg-frontends", "sg-jobs"]
    error_message = "others than the named groups may use the endpoints"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.cidr_ipv4 == null || !can(cidrhost(rule.cidr_ipv4, 0))])
    error_message = "a rule admits addresses"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.from_port == 443 && rule.to_port == 443 && rule.ip_protocol == "tcp"])
    error_message = "another port than 443 is open"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["aps-workspaces", "ecr.api", "ecr.dkr", "kms", "logs", "secretsmanager"])
    error_message = "the endpoints are not those that a frontend needs"
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && length(endpoint.subnet_ids) == 3 && endpoint.security_group_ids == toset([aws_security_group.endpoints.id])])
    error_message = "an endpoint is not in each zone, without a private name, or open to others"
  }
  assert {
    condition     = aws_vpc_endpoint.interface["ecr.api"].service_name == "com.amazonaws.eu-central-1.ecr.api"
    error_message = "endpoints are of another region"
  }
}

run "endpoint_policies_name_actions_and_the_account" {
  command = apply

  variables {
    interface_endpoints = ["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs", "monitoring", "aps-workspaces", "sts", "acm-pca"]
  }

  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface : alltrue([
        for statement in jsondecode(endpoint.policy).Statement :
        try(statement.Condition.StringEquals["aws:PrincipalAccount"], "") == "123456789012" && alltrue([for action in statement.Action : !strcontains(action, "*")])
      ])
    ])
    error_message = "an endpoint's policy lets other accounts through, or has a wildcard among its actions"
  }
  assert {
    condition = { for service, endpoint in aws_vpc_endpoint.interface : service => jsondecode(endpoint.policy).Statement[0].Action } == {
      "acm-pca"        = ["acm-pca:GetCertificate", "acm-pca:GetCertificateAuthorityCertificate", "acm-pca:IssueCertificate"]
      "aps-workspaces" = ["aps:RemoteWrite"]
      "ecr.api"        = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      "ecr.dkr"        = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      "kms"            = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
      "logs"           = ["logs:CreateLogStream", "logs:PutLogEvents"]
      "monitoring"     = ["cloudwatch:PutMetricData"]
      "secretsmanager" = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
      "sts"            = ["sts:AssumeRole", "sts:GetCallerIdentity"]
    }
    error_message = "the endpoints do not let through exactly what the roles of the other modules may do"
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[0].Action == ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    error_message = "the actions on S3 are not exactly those of deploy/s3"
  }
  assert {
    condition = toset(jsondecode(aws_vpc_endpoint.s3.policy).Statement[0].Action) == toset(flatten([
      for file in ["serve", "read", "prune", "rotate"] : [
        for statement in jsondecode(file("${path.module}/../../../deploy/s3/${file}.json")).Statement : statement.Action
      ]
    ]))
    error_message = "deploy/s3 needs other actions than the endpoint lets through"
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[0].Condition.StringEquals == { "aws:PrincipalAccount" = "123456789012", "aws:ResourceAccount" = "123456789012" }
    error_message = "buckets of other accounts can be reached"
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[1] == { Sid = "ImageLayers", Effect = "Allow", Principal = "*", Action = ["s3:GetObject"], Resource = ["arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*"] }
    error_message = "images cannot be pulled, or more than their layers can be read"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "the S3 endpoint is not in each zone's routes"
  }
}

run "s3_endpoint_can_be_bound_to_buckets" {
  command = plan

  variables {
    s3_bucket_arns = ["arn:aws:s3:::archive"]
  }

  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[0].Resource == ["arn:aws:s3:::archive", "arn:aws:s3:::archive/*"]
    error_message = "other buckets can be reached"
  }
}

run "connections_are_logged_encrypted" {
  command = apply

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.vpc_id == aws_vpc.this.id && aws_flow_log.this.log_destination == aws_cloudwatch_log_group.flows.arn
    error_message = "not every connection of the network is logged"
  }
  assert {
    condition     = aws_cloudwatch_log_group.flows.kms_key_id == aws_kms_key.logs.arn && aws_kms_key.logs.enable_key_rotation && aws_kms_key.logs.deletion_window_in_days == 30
    error_message = "the log is not encrypted by a key of its own that rotates"
  }
  assert {
    condition     = aws_cloudwatch_log_group.flows.retention_in_days == 30
    error_message = "the log is kept for another time than was asked for"
  }
  assert {
    condition     = jsondecode(aws_kms_key.logs.policy).Statement[1].Condition.ArnEquals["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:/tierd-test/network/flows"
    error_message = "the key serves other log groups, too"
  }
  assert {
    condition     = toset(flatten([for statement in jsondecode(aws_iam_role_policy.flows.policy).Statement : statement.Action])) == toset(["logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents"])
    error_message = "the role of flow logs may do other things than write them"
  }
  assert {
    condition     = alltrue([for resource in jsondecode(aws_iam_role_policy.flows.policy).Statement[0].Resource : startswith(resource, "arn:aws:logs:eu-central-1:123456789012:log-group:/tierd-test/network/flows")])
    error_message = "the role of flow logs writes elsewhere"
  }
  assert {
    condition     = jsondecode(aws_iam_role.flows.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "flow logs of other accounts may take the role"
  }
}

run "public_subnets_are_for_load_balancers" {
  command = apply

  variables {
    public_subnets = true
  }

  assert {
    condition     = length(output.public_subnet_ids) == 3 && alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "public subnets are missing, or give out public addresses"
  }
  assert {
    condition     = aws_route.internet[0].route_table_id == aws_route_table.public[0].id && !contains([for table in aws_route_table.private : table.id], aws_route.internet[0].route_table_id)
    error_message = "a private subnet has a way to the internet"
  }
  assert {
    condition     = length(setintersection([for subnet in aws_subnet.public : subnet.cidr_block], [for subnet in aws_subnet.private : subnet.cidr_block])) == 0
    error_message = "public and private subnets overlap"
  }
}

run "one_zone_is_refused" {
  command = plan
  variables {
    availability_zones = ["eu-central-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "a_zone_twice_is_refused" {
  command = plan
  variables {
    availability_zones = ["eu-central-1a", "eu-central-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "a_small_network_is_refused" {
  command = plan
  variables {
    cidr = "10.0.0.0/26"
  }
  expect_failures = [var.cidr]
}

run "an_address_within_a_network_is_refused" {
  command = plan
  variables {
    cidr = "10.0.0.1/16"
  }
  expect_failures = [var.cidr]
}

run "a_name_that_aws_refuses_is_refused" {
  command = plan
  variables {
    name = "Tierd_"
  }
  expect_failures = [var.name]
}

run "endpoints_that_frontends_need_stay" {
  command = plan
  variables {
    interface_endpoints = ["kms"]
  }
  expect_failures = [var.interface_endpoints]
}

run "unknown_endpoints_are_refused" {
  command = plan
  variables {
    interface_endpoints = ["ecr.api", "ecr.dkr", "secretsmanager", "kms", "logs", "ec2"]
  }
  expect_failures = [var.interface_endpoints]
}

run "a_wildcard_bucket_is_refused" {
  command = plan
  variables {
    s3_bucket_arns = ["arn:aws:s3:::*"]
  }
  expect_failures = [var.s3_bucket_arns]
}

run "a_retention_that_aws_does_not_know_is_refused" {
  command = plan
  variables {
    flow_log_retention_days = 31
  }
  expect_failures = [var.flow_log_retention_days]
}
