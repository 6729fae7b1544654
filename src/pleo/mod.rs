//! Floor 4: all that is Pleo: endpoints, OAuth calls, introspection, how its failures sort.
