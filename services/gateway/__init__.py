"""Gateway: what Envoy, the front door, cannot answer by itself.

Envoy takes REST, gRPC and gRPC-Web on one port and sends each call to its service; here are the home page, the
documents of the API, operations over all services, the reflection of every contract, the public events with all who
subscribe to them, webhooks, and SCIM, by which identity providers tell the directory. Owns webhooks; follows all,
to publish it, and the directory, to know what a caller is to whom an event is about. It is the only caller of services
inside the system.
"""
