# A first plan, in which nothing of AWS is known yet: how many of each there are must not depend on it.

mock_provider "aws" {
  source = "../../modules/deployment/tests/mocks"
}

run "of_the_example" {
  command = plan

  assert {
    condition     = module.hot_tier.replica_acks == 0 && keys(module.functions.commands) == ["archive-verify", "restore-drill"]
    error_message = "what is known before anything is made"
  }
}
