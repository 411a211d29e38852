# A network whose private subnets have no way to the internet and back: AWS' own services are reached
# through endpoints (endpoints.tf), everything else not at all. Connections are logged (flow_logs.tf).

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  # Zone => its place. Public subnets lie eight places behind, so that a zone more moves none.
  zones         = { for i, zone in var.availability_zones : zone => i }
  public_offset = 8
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # the private names of endpoints need it

  tags = merge(var.tags, { Name = var.name })
}

# Whatever is put into the network without a security group of its own gets this one, which lets nothing through.
resource "aws_default_security_group" "none" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-default-closed" })
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, 4, each.value)
  map_public_ip_on_launch = false

  tags = merge(var.tags, { Name = "${var.name}-private-${each.key}" })
}

# One table per zone, without a route out of the network: the S3 endpoint adds its own.
resource "aws_route_table" "private" {
  for_each = local.zones

  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-private-${each.key}" })
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}
