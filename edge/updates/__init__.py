"""Updates of the agent and of driver profiles: taken, verified, tried, and given up if they are not well.

work      what is being done, durable before it is done
decision  what a target, a restart or a look at the trial means. Pure
slots     the launcher's folder as the agent sees it (images/launcher)
updater   the agent's task
"""
