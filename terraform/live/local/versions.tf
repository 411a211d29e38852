terraform {
  # terraform_data, and checks of a variable against other variables.
  required_version = ">= 1.11"
}
